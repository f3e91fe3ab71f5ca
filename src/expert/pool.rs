//! The decoders that are in memory.

use std::collections::BTreeMap;
use std::ops::Add;

use rayon::prelude::*;

use crate::generate::{Decoder, DecoderCounters, DecoderFiles, GenerationError};
use crate::manifest::{ModelPackage, Variant};
use crate::runtime::{ProviderPolicy, Runtime};

/// The decoders of a package by name, all resident.
///
/// Work asks for a decoder by name for as long as it needs it and works through one decoder after the other, so that a
/// pool that loads and evicts under a memory budget can take this one's place.
#[derive(Debug)]
pub struct ExpertPool {
    decoders: BTreeMap<String, Decoder>,
}

impl ExpertPool {
    /// Loads all decoders of the package in parallel.
    ///
    /// # Errors
    /// Those of [`Decoder::load`].
    pub fn load(
        runtime: &Runtime,
        package: &ModelPackage,
        variant: Variant,
        policy: &ProviderPolicy,
    ) -> Result<Self, GenerationError> {
        let names: Vec<&String> = package.manifest().decoders.keys().collect();
        let decoders = names
            .into_par_iter()
            .map(|name| {
                let files = DecoderFiles { package, name, variant };
                Ok((name.clone(), Decoder::load(runtime, files, policy)?))
            })
            .collect::<Result<_, GenerationError>>()?;
        Ok(Self { decoders })
    }

    /// A decoder, ready to run.
    ///
    /// # Panics
    /// If there is none of this name; a checked manifest names none but its own.
    pub fn decoder(&mut self, name: &str) -> &mut Decoder {
        self.decoders.get_mut(name).expect("the manifest was checked")
    }

    /// The id of rows that run with `adapter` on a decoder (none: 0, the bare base).
    ///
    /// # Panics
    /// If the decoder or the adapter is not there; a checked manifest has both.
    pub fn adapter_id(&self, decoder: &str, adapter: Option<&str>) -> i64 {
        self.decoders
            .get(decoder)
            .and_then(|decoder| decoder.adapter_id(adapter))
            .expect("the manifest was checked")
    }

    /// What all decoders have done since they were loaded.
    pub fn counters(&self) -> DecoderCounters {
        self.decoders.values().map(Decoder::counters).fold(DecoderCounters::default(), Add::add)
    }

    /// Memory that one row of a batch takes in the largest decoder's cache, bytes.
    pub fn row_bytes(&self) -> usize {
        self.decoders.values().map(Decoder::row_bytes).max().unwrap_or(0)
    }
}
