//! Experts: whole small language models, each a decoder or an adapter of one.

mod pool;
mod residency;

pub use pool::{ExpertPool, PoolFiles};
pub use residency::{LimitTooSmall, MemoryLimit, NotASize, Residency};

use crate::manifest::ExpertSpec;

/// One expert, resolved: which rows of which decoder it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expert {
    /// Name, such as `theme`.
    pub name: String,
    /// Name of its decoder.
    pub decoder: String,
    /// 0 for the bare decoder, else 1 + index of the adapter.
    pub adapter: i64,
}

impl Expert {
    /// Resolves an expert of the manifest against the pool that holds its decoder.
    ///
    /// # Panics
    /// If the decoder or the adapter is not there; a checked manifest has both.
    pub fn resolve(spec: &ExpertSpec, pool: &ExpertPool) -> Self {
        Self {
            name: spec.name.clone(),
            decoder: spec.decoder.clone(),
            adapter: pool.adapter_id(&spec.decoder, spec.adapter.as_deref()),
        }
    }
}
