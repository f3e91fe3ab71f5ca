//! How much weight may be in memory, and what came and went because of that.

use std::fmt;
use std::ops::Sub;
use std::str::FromStr;
use std::time::Instant;

use crate::manifest::{Manifest, Variant};
use crate::runtime::RunTime;

const KIBI: u64 = 1 << 10;
const MEBI: u64 = 1 << 20;
const GIBI: u64 = 1 << 30;

/// Most bytes of weights that may be in memory at the same time: of the vision encoder and the connector, which always are,
/// and of the decoders with their full heads, which come and go.
///
/// Weights count as long as their files are (the sizes in the manifest). KV caches, activations and the program itself
/// come on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemoryLimit(u64);

/// A limit that not even one decoder keeps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a memory limit of {limit} does not hold the model's weights: decoder \"{decoder}\" with vision encoder and connector needs {needed}"
)]
pub struct LimitTooSmall {
    /// The limit.
    pub limit: MemoryLimit,
    /// The largest decoder.
    pub decoder: String,
    /// The smallest limit that is enough.
    pub needed: MemoryLimit,
}

/// Text that is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected bytes, or a whole number with K, M or G (powers of 1024), for example 1500M; found {found:?}"
)]
pub struct NotASize {
    found: String,
}

impl MemoryLimit {
    /// A limit of so many bytes.
    pub fn of_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The limit in bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// The limit that holds each decoder of the package in turn, and no less; with the name of the largest decoder.
    pub fn smallest(manifest: &Manifest, variant: Variant) -> (Self, String) {
        let sized = manifest.decoders.keys().map(|name| (manifest.decoder_bytes(name, variant), name));
        let (bytes, largest) =
            sized.max().map_or_else(Default::default, |(bytes, name)| (bytes, name.clone()));
        (Self(fixed_bytes(manifest, variant) + bytes), largest)
    }

    /// The limit that holds all weights of the package at the same time.
    pub fn of_everything(manifest: &Manifest, variant: Variant) -> Self {
        let decoders = manifest.decoders.keys().map(|name| manifest.decoder_bytes(name, variant));
        Self(fixed_bytes(manifest, variant) + decoders.sum::<u64>())
    }

    /// Checks that each decoder of the package in turn can be in memory.
    ///
    /// # Errors
    /// [`LimitTooSmall`] with the limit that the package needs.
    pub fn check(self, manifest: &Manifest, variant: Variant) -> Result<(), LimitTooSmall> {
        let (needed, decoder) = Self::smallest(manifest, variant);
        if needed <= self { Ok(()) } else { Err(LimitTooSmall { limit: self, decoder, needed }) }
    }

    /// What the graphs leave that are always in memory, bytes.
    pub(super) fn left_for_decoders(self, manifest: &Manifest, variant: Variant) -> u64 {
        self.0.saturating_sub(fixed_bytes(manifest, variant))
    }
}

fn fixed_bytes(manifest: &Manifest, variant: Variant) -> u64 {
    let encoder = manifest.vision_encoder.graph_of(variant);
    manifest.graph_bytes(encoder) + manifest.graph_bytes(manifest.connector.graph())
}

impl FromStr for MemoryLimit {
    type Err = NotASize;

    fn from_str(text: &str) -> Result<Self, NotASize> {
        let wrong = || NotASize { found: text.to_owned() };
        let (digits, unit) = match text.char_indices().next_back().ok_or_else(wrong)? {
            (end, 'k' | 'K') => (&text[..end], KIBI),
            (end, 'm' | 'M') => (&text[..end], MEBI),
            (end, 'g' | 'G') => (&text[..end], GIBI),
            _ => (text, 1),
        };
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).map(Self).ok_or_else(wrong)
    }
}

/// In mebibytes, rounded up, so that what is shown is enough.
impl fmt::Display for MemoryLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < MEBI {
            return write!(formatter, "{}K", self.0.div_ceil(KIBI));
        }
        write!(formatter, "{}M", self.0.div_ceil(MEBI))
    }
}

/// Decoders that were loaded and evicted; the difference of two counts is what came between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Residency {
    /// Decoders that were loaded, and the time that it took: reading, and making the graph ready.
    pub loads: RunTime,
    /// Bytes of their weights.
    pub loaded_bytes: u64,
    /// Decoders that were evicted.
    pub evictions: u64,
}

impl Residency {
    /// Counts decoders whose loading began at `started` and ends now.
    pub(super) fn count_load(&mut self, decoders: u64, bytes: u64, started: Instant) {
        self.loads += RunTime { runs: decoders, time: started.elapsed() };
        self.loaded_bytes += bytes;
    }
}

impl Sub for Residency {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            loads: self.loads - earlier.loads,
            loaded_bytes: self.loaded_bytes.saturating_sub(earlier.loaded_bytes),
            evictions: self.evictions.saturating_sub(earlier.evictions),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_numbers_of_powers_of_1024() {
        for (text, bytes) in [("0", 0), ("1500", 1500), ("3K", 3072), ("2m", 2 << 20), ("4G", 4 << 30)] {
            assert_eq!(text.parse(), Ok(MemoryLimit(bytes)), "{text}");
        }
        for text in ["", "G", "-1", "+1", "1.5G", "4 G", "4GB", "4T", "99999999999G", "18446744073709551616"]
        {
            let error = text.parse::<MemoryLimit>().unwrap_err();
            assert!(error.to_string().contains("K, M or G"), "{text}: {error}");
        }
    }

    #[test]
    fn a_limit_that_is_shown_is_at_least_the_limit_that_is_meant() {
        for bytes in [1, KIBI, KIBI + 1, MEBI, MEBI + 1, 3 * GIBI - 1] {
            let shown: MemoryLimit = MemoryLimit(bytes).to_string().parse().unwrap();
            assert!(shown.0 >= bytes && shown.0 - bytes < MEBI, "{bytes}: {shown}");
        }
    }
}
