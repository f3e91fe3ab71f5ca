//! What an engine has done, and how long its graphs took for it.

use std::ops::Sub;
use std::time::Duration;

use super::Engine;
use crate::expert::Residency;
use crate::generate::DecoderCounters;
use crate::runtime::RunTime;

/// What an engine has done since it was loaded; the difference of two counts is what came between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Runs of the vision encoder and the connector.
    pub vision: RunTime,
    /// All decoders together.
    pub decoders: DecoderCounters,
    /// Decoders that came and went; those that the engine began with are counted too.
    pub residency: Residency,
}

impl Counters {
    /// Time inside ONNX Runtime.
    pub fn in_graphs(&self) -> Duration {
        let decoders = self.decoders;
        (self.vision + decoders.prefill + decoders.steps + decoders.full_head).time
    }
}

impl Sub for Counters {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            vision: self.vision - earlier.vision,
            decoders: self.decoders - earlier.decoders,
            residency: self.residency - earlier.residency,
        }
    }
}

impl Engine {
    /// What was done since the engine was loaded. Counting costs nothing that could be measured.
    pub fn counters(&self) -> Counters {
        Counters {
            vision: self.encoder.spent() + self.connector.spent(),
            decoders: self.pool.counters(),
            residency: self.pool.residency(),
        }
    }
}
