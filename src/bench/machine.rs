//! The machine: what it is, how fast its memory is, how much of it was used.

use std::fs;
use std::hint::black_box;
use std::thread;
use std::time::Instant;

use super::report::{Machine, Spread};
use crate::raster;

/// Memory that is read for its bandwidth: more than caches hold, bytes.
const STREAM_BYTES: usize = 256 << 20;
/// Sums that are kept apart, so that none waits for another.
const LANES: usize = 16;

/// What this machine is.
pub(super) fn describe() -> Machine {
    let processor = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    Machine {
        os: std::env::consts::OS.to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        processor,
        cores: thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
    }
}

/// Most memory that the process has held so far, MiB; none where the system does not say.
pub(super) fn peak_rss_mib() -> Option<f64> {
    peak_rss_mib_of("self")
}

/// Most memory that the processes have held so far that read rasters for this one, MiB, added up; none where there are none, or the
/// system does not say.
pub(super) fn reader_peak_rss_mib() -> Option<f64> {
    let readers = raster::idle_readers();
    let peaks: Option<Vec<f64>> =
        readers.into_iter().map(|reader| peak_rss_mib_of(&reader.to_string())).collect();
    peaks.filter(|peaks| !peaks.is_empty()).map(|peaks| peaks.into_iter().sum())
}

fn peak_rss_mib_of(process: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

/// Bandwidth of memory, bytes per second: each of `threads` threads reads its own part of a buffer from end to end,
/// `passes` times.
pub(super) fn bandwidth(threads: usize, passes: usize) -> Spread {
    let words = STREAM_BYTES / size_of::<u64>() / threads.max(1);
    let parts: Vec<Vec<u64>> = (0..threads.max(1)).map(|part| vec![part as u64 + 1; words]).collect();
    let bytes = (parts.len() * words * size_of::<u64>()) as f64;
    let pass = || {
        let started = Instant::now();
        thread::scope(|scope| {
            for part in &parts {
                scope.spawn(move || black_box(sum(part)));
            }
        });
        bytes / started.elapsed().as_secs_f64()
    };
    // The first one is not counted: it may still be settling.
    pass();
    Spread::of((0..passes).map(|_| pass()))
}

fn sum(words: &[u64]) -> u64 {
    let (lines, rest) = words.as_chunks::<LANES>();
    let mut sums = [0_u64; LANES];
    for line in lines {
        for (sum, word) in sums.iter_mut().zip(line) {
            *sum = sum.wrapping_add(*word);
        }
    }
    sums.into_iter().chain(rest.iter().copied()).fold(0, u64::wrapping_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read() {
        let words: Vec<u64> = (0..1003).collect();
        assert_eq!(sum(&words), 1003 * 1002 / 2);
    }
}
