//! How far a run is, and how long the rest will take.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

use super::TileCounts;

/// Batches, of those with pictures and of those without, whose times say what the next ones will take.
const RECENT_BATCHES: usize = 15;

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Progress {
    /// Tiles that are done, earlier runs included.
    pub done: usize,
    /// Tiles of this run's shard.
    pub total: usize,
    /// How the tiles went that are done.
    pub counts: TileCounts,
    /// Tiles a second, skipped ones included, as the last batches went. Null until the run is warm: the first batch with pictures does
    /// not count, since it takes longer.
    pub tiles_per_s: Option<f64>,
    /// Seconds that the rest will take at that rate, and no longer than the run may go on; null until the run is warm.
    pub seconds_left: Option<f64>,
}

/// Measures batches.
#[derive(Debug)]
pub(super) struct ProgressMeter {
    total: usize,
    deadline: Option<Instant>,
    is_warm: bool,
    captioned: RecentTimes,
    others: RecentTimes,
}

impl ProgressMeter {
    pub(super) fn new(total: usize, deadline: Option<Instant>) -> Self {
        let none = RecentTimes::default;
        Self { total, deadline, is_warm: false, captioned: none(), others: none() }
    }

    /// Counts a batch, whose whole time goes to the tiles with pictures if there are any.
    pub(super) fn add(&mut self, pictures: usize, tiles: usize, time: Duration) {
        if pictures == 0 {
            self.others.add(time, tiles);
        } else if self.is_warm {
            self.captioned.add(time, pictures);
        } else {
            self.is_warm = true;
        }
    }

    /// How far a run is that has these tiles. The tiles to come are taken to be captioned as often as those that are done.
    pub(super) fn progress(&self, counts: TileCounts) -> Progress {
        let done = counts.total();
        let share = counts.captioned as f64 / done.max(1) as f64;
        let seconds_per_tile = self
            .captioned
            .median()
            .map(|captioned| share * captioned + (1.0 - share) * self.others.median().unwrap_or_default());
        let until_deadline = self
            .deadline
            .map_or(f64::INFINITY, |deadline| (deadline - Instant::now().min(deadline)).as_secs_f64());
        let left = self.total.saturating_sub(done) as f64;
        Progress {
            done,
            total: self.total,
            counts,
            tiles_per_s: seconds_per_tile.map(|seconds| 1.0 / seconds.max(f64::EPSILON)),
            seconds_left: seconds_per_tile.map(|seconds| (left * seconds).min(until_deadline)),
        }
    }
}

/// What a tile of the last batches took, seconds.
#[derive(Debug, Default)]
struct RecentTimes(VecDeque<f64>);

impl RecentTimes {
    fn add(&mut self, time: Duration, tiles: usize) {
        if self.0.len() == RECENT_BATCHES {
            self.0.pop_front();
        }
        self.0.push_back(time.as_secs_f64() / tiles.max(1) as f64);
    }

    /// One slow batch among many changes nothing.
    fn median(&self) -> Option<f64> {
        let mut sorted: Vec<f64> = self.0.iter().copied().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: f64 = 1e-9;

    fn counts(captioned: usize, skipped: usize) -> TileCounts {
        TileCounts { captioned, skipped, ..TileCounts::default() }
    }

    #[test]
    fn time_left_is_told_after_the_first_batch_with_pictures_and_one_slow_batch_does_not_change_it() {
        let mut meter = ProgressMeter::new(100, None);
        meter.add(0, 4, Duration::from_millis(4));
        meter.add(4, 4, Duration::from_secs(9));
        let cold = meter.progress(counts(4, 4));
        assert_eq!((cold.done, cold.tiles_per_s, cold.seconds_left), (8, None, None));
        for seconds in [2, 2, 60, 2] {
            meter.add(4, 4, Duration::from_secs(seconds));
        }
        // Half of the tiles take half a second each, the others a millisecond.
        let warm = meter.progress(counts(20, 20));
        let expected = 0.5 * 0.5 + 0.5 * 0.001;
        assert!((warm.seconds_left.unwrap() - 60.0 * expected).abs() < TOLERANCE, "{warm:?}");
        assert!((warm.tiles_per_s.unwrap() - 1.0 / expected).abs() < TOLERANCE, "{warm:?}");
        assert_eq!(meter.progress(counts(100, 0)).seconds_left, Some(0.0));
    }

    #[test]
    fn a_run_ends_at_its_deadline_however_much_is_left() {
        let mut meter = ProgressMeter::new(1000, Some(Instant::now() + Duration::from_secs(5)));
        meter.add(1, 1, Duration::from_secs(1));
        meter.add(1, 1, Duration::from_secs(1));
        assert!(meter.progress(counts(2, 0)).seconds_left.unwrap() <= 5.0);
        let over = ProgressMeter { deadline: Some(Instant::now()), ..meter };
        assert_eq!(over.progress(counts(2, 0)).seconds_left, Some(0.0));
    }

    #[test]
    fn times_of_long_ago_are_forgotten() {
        let mut times = RecentTimes::default();
        assert_eq!(times.median(), None);
        times.add(Duration::from_secs(100), 1);
        (0..RECENT_BATCHES).for_each(|_| times.add(Duration::from_secs(1), 2));
        assert_eq!(times.0.len(), RECENT_BATCHES);
        assert_eq!(times.median(), Some(0.5));
    }
}
