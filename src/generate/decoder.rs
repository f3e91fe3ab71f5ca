//! A loaded decoder graph.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use ndarray::Array2;

use super::kv_cache::row_bytes;
use super::{DecodeBatch, DecoderCounters, GenerationError};
use crate::manifest::{DecoderSpec, GraphSpec, ModelPackage, Variant};
use crate::runtime::{Array, ExecutionProvider, ProviderPolicy, Runtime, RuntimeError, Session};
use crate::tensor::Dim;
use crate::text::TokenId;

/// Memory of finished batches that a decoder keeps for the next ones, bytes: the shared prefixes and the branches of a full
/// batch of tiles.
const IDLE_BYTES: usize = 384 * 1024 * 1024;

/// A small language model: one graph with a KV cache that it writes in place, and what the manifest says about it.
#[derive(Debug)]
pub struct Decoder {
    name: String,
    pub(super) session: Session,
    full_head: Option<Session>,
    pub(super) spec: DecoderSpec,
    pub(super) names: CacheNames,
    /// Token of each logit; none: the logit's index is the token.
    output_ids: Option<Vec<TokenId>>,
    /// Logit of each token of the shortlist.
    logit_of: HashMap<TokenId, usize>,
    pub(super) image_tokens: usize,
    pub(super) hidden: usize,
    pub(super) capacity: usize,
    idle: Vec<DecodeBatch>,
    /// What a decode step reads whatever its rows: the graph's weights, bytes.
    weight_bytes: u64,
    pub(super) counters: DecoderCounters,
}

/// Names of the cache's inputs and outputs per layer, made once.
#[derive(Debug)]
pub(super) struct CacheNames {
    pub(super) past_key: Vec<String>,
    pub(super) past_value: Vec<String>,
    pub(super) present_key: Vec<String>,
    pub(super) present_value: Vec<String>,
}

/// Which decoder of which package to load.
#[derive(Debug, Clone, Copy)]
pub struct DecoderFiles<'a> {
    /// The package.
    pub package: &'a ModelPackage,
    /// Key into [`Manifest::decoders`](crate::manifest::Manifest::decoders).
    pub name: &'a str,
    /// The variant to load.
    pub variant: Variant,
}

impl Decoder {
    /// Loads a decoder and, if it has one, its full head.
    ///
    /// # Errors
    /// [`GenerationError::Runtime`], [`GenerationError::OutputIds`].
    ///
    /// # Panics
    /// If the decoder or its variant is not in the manifest.
    pub fn load(
        runtime: &Runtime,
        files: DecoderFiles<'_>,
        policy: &ProviderPolicy,
    ) -> Result<Self, GenerationError> {
        let DecoderFiles { package, name, variant } = files;
        let manifest = package.manifest();
        let spec = manifest.decoders.get(name).expect("the manifest was checked").clone();
        let load = |graph: &str| {
            let graph_spec = manifest.graphs.get(graph).expect("the manifest was checked");
            Session::load(runtime, (graph, &package.path(&graph_spec.file)), graph_spec, policy)
                .map_err(|source| GenerationError::Runtime { decoder: name.to_owned(), source })
        };
        let session = load(&spec.variants.get(&variant).expect("the variant was checked").graph)?;
        let full_head = spec.full_head.as_ref().map(|head| load(&head.graph)).transpose()?;
        let output_ids = spec
            .output_ids
            .as_deref()
            .map(|file| read_output_ids(name, &package.path(file), spec.vocabulary))
            .transpose()?;
        let graph = &manifest.graphs[&spec.variants[&variant].graph];
        if let (Some(ids), Some(file)) = (&output_ids, &spec.output_ids) {
            check_head(name, &package.path(file), ids.len(), graph, &spec.outputs.logits)?;
        }
        let logit_of =
            output_ids.iter().flatten().enumerate().map(|(index, &token)| (token, index)).collect();
        Ok(Self {
            name: name.to_owned(),
            names: CacheNames::new(&spec),
            session,
            full_head,
            output_ids,
            logit_of,
            image_tokens: manifest.connector.image_tokens(),
            hidden: manifest.language.hidden,
            capacity: manifest.language.max_context,
            weight_bytes: manifest.graph_bytes(&spec.variants[&variant].graph),
            spec,
            idle: Vec::new(),
            counters: DecoderCounters::default(),
        })
    }

    /// Key into [`Manifest::decoders`](crate::manifest::Manifest::decoders).
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The provider that really runs the decoder.
    pub fn provider(&self) -> ExecutionProvider {
        self.session.provider()
    }

    /// The id of rows that run with `adapter` (none: 0, the bare base); `None` for one that the decoder lacks.
    pub fn adapter_id(&self, adapter: Option<&str>) -> Option<i64> {
        self.spec.adapter_id(adapter)
    }

    /// What the decoder has done since it was loaded.
    pub fn counters(&self) -> DecoderCounters {
        DecoderCounters {
            full_head: self.full_head.as_ref().map(Session::spent).unwrap_or_default(),
            ..self.counters
        }
    }

    /// What a decode step over so many filled positions reads at least: the weights, and these positions. Bytes.
    pub(super) fn step_bytes(&self, filled: usize) -> u64 {
        let cache = row_bytes(self.spec.layers, self.spec.key_value_heads, self.spec.head_dim, filled);
        self.weight_bytes + cache as u64
    }

    /// Logits of a run.
    pub(super) fn logits(&self) -> usize {
        self.output_ids.as_ref().map_or(self.spec.vocabulary, Vec::len)
    }

    /// Index of the token among the logits of the decoder's own head, if that head can emit it.
    pub(super) fn logit_of(&self, token: TokenId) -> Option<usize> {
        match self.output_ids {
            Some(_) => self.logit_of.get(&token).copied(),
            None => ((token as usize) < self.spec.vocabulary).then_some(token as usize),
        }
    }

    /// True if the package has logits over the whole vocabulary.
    pub(super) fn has_full_head(&self) -> bool {
        self.full_head.is_some()
    }

    /// Logits over the whole vocabulary, `[rows, vocabulary]`, of the positions that were read last.
    pub(super) fn full_logits(&mut self, batch: &DecodeBatch) -> Result<Array2<f32>, GenerationError> {
        let (Some(session), Some(head)) = (&mut self.full_head, &self.spec.full_head) else {
            return Ok(Array2::zeros((0, 0)));
        };
        let hidden = Array::F32(batch.hidden().to_owned().into_dyn());
        let failed = |source| GenerationError::Runtime { decoder: self.name.clone(), source };
        let logits = session.run_to_floats(&[(&head.hidden, &hidden)], &head.logits).map_err(failed)?;
        let shape = logits.shape().to_vec();
        logits.into_dimensionality().map_err(|_| {
            failed(RuntimeError::Output {
                graph: head.graph.clone(),
                output: head.logits.clone(),
                expected: "[rows, vocabulary]".to_owned(),
                found: format!("{shape:?}"),
            })
        })
    }

    /// A batch of `rows` empty sequences; a finished one of that size is used again.
    ///
    /// # Errors
    /// [`GenerationError::Runtime`] if there is no memory for it.
    pub fn batch(&mut self, rows: usize) -> Result<DecodeBatch, GenerationError> {
        if let Some(index) = self.idle.iter().position(|batch| batch.rows() == rows) {
            let mut batch = self.idle.remove(index);
            batch.clear();
            return Ok(batch);
        }
        DecodeBatch::new(self, rows).map_err(|source| self.failed(source))
    }

    /// Keeps a finished batch for the next one of the same size. A batch that failed must be dropped instead.
    pub fn recycle(&mut self, batch: DecodeBatch) {
        self.idle.push(batch);
        while self.idle_bytes() > IDLE_BYTES {
            self.idle.remove(0);
        }
    }

    /// Memory of the finished batches that are kept, bytes.
    pub fn idle_bytes(&self) -> usize {
        self.idle.iter().map(|batch| batch.cache().bytes()).sum()
    }

    /// Frees the finished batches.
    pub fn forget_idle(&mut self) {
        self.idle.clear();
    }

    pub(super) fn failed(&self, source: RuntimeError) -> GenerationError {
        GenerationError::Runtime { decoder: self.name.clone(), source }
    }
}

impl CacheNames {
    fn new(spec: &DecoderSpec) -> Self {
        let named = |template: &str| {
            (0..spec.layers).map(|layer| template.replace("{layer}", &layer.to_string())).collect()
        };
        Self {
            past_key: named(&spec.inputs.past_key),
            past_value: named(&spec.inputs.past_value),
            present_key: named(&spec.outputs.present_key),
            present_value: named(&spec.outputs.present_value),
        }
    }
}

/// Little-endian i32 ids, position = logit index.
fn read_output_ids(decoder: &str, path: &Path, vocabulary: usize) -> Result<Vec<TokenId>, GenerationError> {
    let wrong = |problem: String| GenerationError::OutputIds {
        decoder: decoder.to_owned(),
        path: path.to_owned(),
        problem,
    };
    let bytes = fs::read(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let (ids, rest) = bytes.as_chunks::<4>();
    if ids.is_empty() || !rest.is_empty() {
        return Err(wrong(format!("expected a multiple of 4 bytes, found {}", bytes.len())));
    }
    ids.iter()
        .map(|&id| {
            let id = i32::from_le_bytes(id);
            TokenId::try_from(id)
                .ok()
                .filter(|&token| (token as usize) < vocabulary)
                .ok_or_else(|| wrong(format!("expected ids below {vocabulary}, found {id}")))
        })
        .collect()
}

fn check_head(
    decoder: &str,
    path: &Path,
    ids: usize,
    graph: &GraphSpec,
    logits: &str,
) -> Result<(), GenerationError> {
    let axis = graph.outputs.iter().find(|spec| spec.name == logits).and_then(|spec| spec.shape.last());
    match axis {
        Some(Dim::Fixed(length)) if *length != ids => Err(GenerationError::OutputIds {
            decoder: decoder.to_owned(),
            path: path.to_owned(),
            problem: format!("expected {length} ids, one per logit, found {ids}"),
        }),
        _ => Ok(()),
    }
}
