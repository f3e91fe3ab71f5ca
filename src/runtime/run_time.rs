//! How long graphs ran.

use std::ops::{Add, AddAssign, Sub};
use std::time::{Duration, Instant};

/// Runs of a graph, and the time inside ONNX Runtime that they took.
///
/// Counted for every run: two looks at the clock cost tens of nanoseconds, a run at least tens of microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunTime {
    /// Number of runs.
    pub runs: u64,
    /// Their time, copies to and from a device included.
    pub time: Duration,
}

impl RunTime {
    /// Counts a run that began at `started` and ends now.
    pub(crate) fn count_since(&mut self, started: Instant) {
        *self += Self { runs: 1, time: started.elapsed() };
    }
}

impl Add for RunTime {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { runs: self.runs + other.runs, time: self.time + other.time }
    }
}

impl AddAssign for RunTime {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for RunTime {
    type Output = Self;

    /// What came between an `earlier` count and this one; nothing if it is not earlier.
    fn sub(self, earlier: Self) -> Self {
        Self { runs: self.runs.saturating_sub(earlier.runs), time: self.time.saturating_sub(earlier.time) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_of_two_counts_is_what_came_between() {
        let earlier = RunTime { runs: 2, time: Duration::from_millis(30) };
        let between = RunTime { runs: 1, time: Duration::from_millis(5) };
        assert_eq!((earlier + between) - earlier, between);
        assert_eq!(earlier - (earlier + between), RunTime::default());
    }
}
