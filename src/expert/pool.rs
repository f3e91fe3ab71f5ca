//! The decoders that are in memory.

use std::time::Instant;

use rayon::prelude::*;

use super::{MemoryLimit, Residency};
use crate::generate::{Decoder, DecoderCounters, DecoderFiles, GenerationError, capacity_for, row_bytes};
use crate::manifest::{DecoderSpec, ModelPackage, Variant};
use crate::runtime::{ProviderPolicy, Runtime};

/// The decoders of a package by name: all resident, or as many as a limit allows.
///
/// Work asks for a decoder by name for as long as it needs it and works through one decoder after the other. Under a limit,
/// asking may load the decoder and evict others, those first that were not used for the longest time. An evicted decoder's
/// weights are freed with the last batch that was made for it, so batches must not outlive the work on their decoder then
/// ([`ExpertPool::keeps_all`]).
#[derive(Debug)]
pub struct ExpertPool {
    files: PoolFiles,
    /// The one that was not used for the longest time first.
    resident: Vec<Decoder>,
    /// Bytes of weights that may be resident; none: all.
    limit: Option<u64>,
    /// What evicted decoders have done.
    evicted: DecoderCounters,
    residency: Residency,
}

/// Where the decoders come from, and how they run.
#[derive(Debug)]
pub struct PoolFiles {
    /// The package, verified.
    pub package: ModelPackage,
    /// The variant of all decoders.
    pub variant: Variant,
    /// On which hardware to run.
    pub policy: ProviderPolicy,
    /// ONNX Runtime.
    pub runtime: &'static Runtime,
}

impl PoolFiles {
    fn load(&self, name: &str) -> Result<Decoder, GenerationError> {
        let files = DecoderFiles { package: &self.package, name, variant: self.variant };
        Decoder::load(self.runtime, files, &self.policy)
    }

    fn spec(&self, name: &str) -> &DecoderSpec {
        self.package.manifest().decoders.get(name).expect("the manifest was checked")
    }

    fn bytes(&self, name: &str) -> u64 {
        self.package.manifest().decoder_bytes(name, self.variant)
    }
}

impl ExpertPool {
    /// Loads all decoders of the package in parallel; if they are more than the limit allows, none before it is asked for.
    ///
    /// # Errors
    /// Those of [`Decoder::load`].
    pub fn load(files: PoolFiles, limit: Option<MemoryLimit>) -> Result<Self, GenerationError> {
        let limit = limit.map(|limit| limit.left_for_decoders(files.package.manifest(), files.variant));
        let mut pool = Self {
            files,
            resident: Vec::new(),
            limit,
            evicted: DecoderCounters::default(),
            residency: Residency::default(),
        };
        if pool.keeps_all() {
            let started = Instant::now();
            let names: Vec<&String> = pool.files.package.manifest().decoders.keys().collect();
            pool.resident =
                names.into_par_iter().map(|name| pool.files.load(name)).collect::<Result<_, _>>()?;
            let bytes = pool.resident.iter().map(|decoder| pool.files.bytes(decoder.name())).sum();
            pool.residency.count_load(pool.resident.len() as u64, bytes, started);
        }
        Ok(pool)
    }

    /// True if no decoder is ever evicted.
    pub fn keeps_all(&self) -> bool {
        let manifest = self.files.package.manifest();
        let all: u64 = manifest.decoders.keys().map(|name| self.files.bytes(name)).sum();
        self.limit.is_none_or(|limit| all <= limit)
    }

    /// True if the decoder is in memory, so that asking for it costs nothing.
    pub fn is_resident(&self, name: &str) -> bool {
        self.resident.iter().any(|decoder| decoder.name() == name)
    }

    /// A decoder, ready to run. Under a limit it may have to be loaded, and others evicted for it. The others forget their finished
    /// batches: memory for one decoder's is enough, and making them anew costs little beside the work in between.
    ///
    /// # Errors
    /// Those of [`Decoder::load`].
    ///
    /// # Panics
    /// If there is none of this name; a checked manifest names none but its own.
    pub fn decoder(&mut self, name: &str) -> Result<&mut Decoder, GenerationError> {
        let decoder = match self.resident.iter().position(|decoder| decoder.name() == name) {
            Some(index) => self.resident.remove(index),
            None => self.make_room_and_load(name)?,
        };
        self.resident.iter_mut().for_each(Decoder::forget_idle);
        self.resident.push(decoder);
        Ok(self.resident.last_mut().expect("one was just put there"))
    }

    fn make_room_and_load(&mut self, name: &str) -> Result<Decoder, GenerationError> {
        let bytes = self.files.bytes(name);
        while let (Some(limit), false) = (self.limit, self.resident.is_empty())
            && self.resident_bytes() + bytes > limit
        {
            let evicted = self.resident.remove(0);
            tracing::info!(decoder = evicted.name(), "evicted");
            self.evicted = self.evicted + evicted.counters();
            self.residency.evictions += 1;
        }
        let started = Instant::now();
        let decoder = self.files.load(name)?;
        self.residency.count_load(1, bytes, started);
        let ms = started.elapsed().as_millis() as u64;
        tracing::info!(decoder = name, bytes, ms, resident = self.resident_bytes() + bytes, "loaded");
        Ok(decoder)
    }

    fn resident_bytes(&self) -> u64 {
        self.resident.iter().map(|decoder| self.files.bytes(decoder.name())).sum()
    }

    /// The id of rows that run with `adapter` on a decoder (none: 0, the bare base).
    ///
    /// # Panics
    /// If the decoder or the adapter is not there; a checked manifest has both.
    pub fn adapter_id(&self, decoder: &str, adapter: Option<&str>) -> i64 {
        self.files.spec(decoder).adapter_id(adapter).expect("the manifest was checked")
    }

    /// What all decoders have done since the pool was loaded, evicted ones included.
    pub fn counters(&self) -> DecoderCounters {
        self.resident.iter().fold(self.evicted, |sum, decoder| sum + decoder.counters())
    }

    /// What was loaded and evicted since the pool was made.
    pub fn residency(&self) -> Residency {
        self.residency
    }

    /// Memory of finished batches that are kept for the next ones, bytes.
    pub fn idle_bytes(&self) -> usize {
        self.resident.iter().map(Decoder::idle_bytes).sum()
    }

    /// Memory that one row of a batch takes in the largest decoder's cache with so many positions, bytes.
    pub fn row_bytes(&self, positions: usize) -> usize {
        let manifest = self.files.package.manifest();
        let capacity = capacity_for(positions.min(manifest.language.max_context));
        manifest
            .decoders
            .values()
            .map(|spec| row_bytes(spec.layers, spec.key_value_heads, spec.head_dim, capacity))
            .max()
            .unwrap_or(0)
    }
}
