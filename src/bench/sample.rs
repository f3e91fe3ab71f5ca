//! One measured repeat, and what several of them say.

use std::time::Duration;

use super::report::{Cost, Share, Spread};
use crate::engine::Counters;
use crate::generate::DecoderCounters;

/// One repeat.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// Images that were described.
    pub(super) images: usize,
    /// The whole time.
    pub(super) whole: Duration,
    /// Of it, what had to be waited for pixels.
    pub(super) reading: Duration,
    /// What the engine did.
    pub(super) done: Counters,
}

impl Sample {
    /// Bytes per second that the decode steps read at least, over the bandwidth of the memory.
    fn roofline(&self, bytes_per_s: f64) -> f64 {
        ratio(self.done.decoders.step_bytes as f64, self.done.decoders.steps.time.as_secs_f64() * bytes_per_s)
    }
}

/// What the repeats took; `bytes_per_s` is the memory's bandwidth, if the graphs run from that memory.
pub(super) fn cost(samples: &[Sample], bytes_per_s: Option<f64>) -> Cost {
    let each = |figure: &dyn Fn(&Sample) -> f64| Spread::of(samples.iter().map(figure));
    let per_image = |figure: &dyn Fn(&Sample) -> u64| {
        let images: usize = samples.iter().map(|sample| sample.images).sum();
        ratio(samples.iter().map(figure).sum::<u64>() as f64, images as f64)
    };
    let total = |figure: &dyn Fn(&DecoderCounters) -> u64| {
        samples.iter().map(|sample| figure(&sample.done.decoders)).sum::<u64>() as f64
    };
    let drafted = total(&|done| done.drafted_tokens);
    Cost {
        prompt_tokens_per_image: per_image(&|sample| sample.done.decoders.prompt_tokens),
        written_tokens_per_image: per_image(&|sample| sample.done.decoders.written_tokens),
        decoder_loads_per_image: per_image(&|sample| sample.done.residency.loads.runs),
        decoder_evictions_per_image: per_image(&|sample| sample.done.residency.evictions),
        occupancy: ratio(total(&|done| done.live_row_steps), total(&|done| done.row_steps)),
        steps_per_image: per_image(&|sample| sample.done.decoders.steps.runs),
        drafted_tokens_per_image: per_image(&|sample| sample.done.decoders.drafted_tokens),
        accepted_tokens_per_image: per_image(&|sample| sample.done.decoders.accepted_tokens),
        acceptance_rate: (drafted > 0.0).then(|| total(&|done| done.accepted_tokens) / drafted),
        tokens_per_s: each(&|sample| per_second(sample.done.decoders.written_tokens, sample.whole)),
        prefill_tokens_per_s: each(&|sample| {
            per_second(sample.done.decoders.prompt_tokens, sample.done.decoders.prefill.time)
        }),
        decode_tokens_per_s: each(&|sample| {
            per_second(sample.done.decoders.written_tokens, sample.done.decoders.steps.time)
        }),
        share: share(samples),
        roofline: bytes_per_s.map(|bytes_per_s| each(&|sample| sample.roofline(bytes_per_s))),
    }
}

fn share(samples: &[Sample]) -> Share {
    let sum = |time: &dyn Fn(&Sample) -> Duration| samples.iter().map(time).sum::<Duration>().as_secs_f64();
    let whole = sum(&|sample| sample.whole);
    let share_of = |time: &dyn Fn(&Sample) -> Duration| ratio(sum(time), whole);
    let vision = share_of(&|sample| sample.done.vision.time);
    let prefill = share_of(&|sample| sample.done.decoders.prefill.time);
    let decode = share_of(&|sample| sample.done.decoders.steps.time);
    let loading = share_of(&|sample| sample.done.residency.loads.time);
    let reading = share_of(&|sample| sample.reading);
    let own = (1.0 - vision - prefill - decode - loading - reading).max(0.0);
    Share { vision, prefill, decode, loading, reading, own }
}

/// How many a second; 0 of nothing in no time.
pub(super) fn per_second(count: u64, time: Duration) -> f64 {
    ratio(count as f64, time.as_secs_f64())
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expert::Residency;
    use crate::generate::DecoderCounters;
    use crate::runtime::RunTime;

    const TOLERANCE: f64 = 1e-9;

    fn run(milliseconds: u64) -> RunTime {
        RunTime { runs: 1, time: Duration::from_millis(milliseconds) }
    }

    fn sample() -> Sample {
        let decoders = DecoderCounters {
            prefill: run(20),
            steps: run(50),
            prompt_tokens: 100,
            written_tokens: 10,
            row_steps: 20,
            live_row_steps: 15,
            drafted_tokens: 8,
            accepted_tokens: 6,
            step_bytes: 1_000_000,
            ..DecoderCounters::default()
        };
        let residency = Residency { loads: run(4), evictions: 1, ..Residency::default() };
        let done = Counters { vision: run(10), decoders, residency };
        Sample { images: 2, whole: Duration::from_millis(100), reading: Duration::from_millis(5), done }
    }

    #[test]
    fn shares_add_up_and_rates_are_counts_over_their_own_time() {
        let cost = cost(&[sample(), sample()], Some(40e6));
        let share = cost.share;
        assert!((share.decode - 0.5).abs() < TOLERANCE && (share.own - 0.11).abs() < TOLERANCE, "{share:?}");
        let sum = share.vision + share.prefill + share.decode + share.loading + share.reading + share.own;
        assert!((sum - 1.0).abs() < TOLERANCE);
        assert!((cost.tokens_per_s.median - 100.0).abs() < TOLERANCE);
        assert!((cost.prefill_tokens_per_s.median - 5000.0).abs() < TOLERANCE);
        assert!((cost.decode_tokens_per_s.median - 200.0).abs() < TOLERANCE);
        assert!((cost.prompt_tokens_per_image - 50.0).abs() < TOLERANCE);
        assert!((cost.decoder_loads_per_image - 0.5).abs() < TOLERANCE);
        assert!((cost.decoder_evictions_per_image - 0.5).abs() < TOLERANCE);
        assert!(
            (cost.occupancy - 0.75).abs() < TOLERANCE
                && (cost.acceptance_rate.unwrap() - 0.75).abs() < TOLERANCE
        );
        assert!((cost.accepted_tokens_per_image - 3.0).abs() < TOLERANCE);
        // 1 MB in 50 ms is 20 MB/s, half of what the memory gives.
        assert!((cost.roofline.unwrap().median - 0.5).abs() < TOLERANCE);
    }

    #[test]
    fn nothing_done_is_no_speed() {
        let nothing =
            Sample { images: 1, whole: Duration::ZERO, reading: Duration::ZERO, done: Counters::default() };
        let cost = cost(&[nothing], None);
        assert_eq!((cost.tokens_per_s.median, cost.share.vision, cost.roofline), (0.0, 0.0, None));
        assert_eq!((cost.occupancy, cost.acceptance_rate), (0.0, None));
    }
}
