//! Sequences that run together.

use ndarray::ArrayView2;

use super::kv_cache::KvCache;
use super::step::DecodeStep;
use super::{Decoder, Segment};
use crate::runtime::{Binding, HostTensor, RuntimeError};
use crate::text::TokenId;

/// The state of several sequences of one decoder that run together.
///
/// Cache, outputs and the inputs of a decode step are bound to the graph when the batch is made. A decode step rewrites
/// the contents of its inputs and runs; it binds and allocates nothing. A prefill binds its own `input_ids`, since their
/// shape differs.
#[derive(Debug)]
pub struct DecodeBatch {
    pub(super) binding: Binding,
    pub(super) cache: KvCache,
    /// Version of the cache that is bound.
    bound_cache: u64,
    pub(super) lengths: Vec<usize>,
    pub(super) inputs: StepInputs,
    outputs: Outputs,
    /// Inputs of a prefill stay bound until the next decode step.
    pub(super) prefill: Option<PrefillInputs>,
    /// Made by the first text that is written.
    pub(super) step: Option<DecodeStep>,
}

#[derive(Debug)]
pub(super) struct StepInputs {
    /// `[rows, 1]`
    input_ids: HostTensor<i64>,
    /// `[1, image_tokens, hidden]` zeros: a decode step sees no image.
    pub(super) image_embeddings: HostTensor<f32>,
    /// `[rows]`
    pub(super) past_lengths: HostTensor<i64>,
    /// `[rows]`: one token of each row is read.
    pub(super) logits_indices: HostTensor<i64>,
    /// `[rows]`
    pub(super) adapter_ids: HostTensor<i64>,
}

impl StepInputs {
    /// Each row has one new token, and it is read.
    fn read_every_row(&mut self) {
        for (row, index) in self.logits_indices.values_mut().iter_mut().enumerate() {
            *index = row as i64;
        }
    }
}

#[derive(Debug)]
pub(super) struct PrefillInputs {
    /// `[rows, width]`
    pub(super) input_ids: Option<HostTensor<i64>>,
    /// `[images, image_tokens, hidden]`; none: the segments have no image tokens.
    pub(super) image_embeddings: Option<HostTensor<f32>>,
}

#[derive(Debug)]
struct Outputs {
    /// `[rows]`
    next_ids: HostTensor<i64>,
    /// `[rows]`
    next_logprobs: HostTensor<f32>,
    /// `[rows, logits]`
    logits: HostTensor<f32>,
    /// `[rows, hidden]`
    hidden: HostTensor<f32>,
}

impl DecodeBatch {
    pub(super) fn new(decoder: &Decoder, rows: usize) -> Result<Self, RuntimeError> {
        let graph = decoder.session.name();
        let mut batch = Self {
            binding: Binding::new(&decoder.session)?,
            cache: KvCache::new(graph, &decoder.spec, rows, decoder.capacity)?,
            bound_cache: 0,
            lengths: vec![0; rows],
            inputs: StepInputs {
                input_ids: HostTensor::zeros(graph, &[rows, 1])?,
                image_embeddings: HostTensor::zeros(graph, &[1, decoder.image_tokens, decoder.hidden])?,
                past_lengths: HostTensor::zeros(graph, &[rows])?,
                logits_indices: HostTensor::zeros(graph, &[rows])?,
                adapter_ids: HostTensor::zeros(graph, &[rows])?,
            },
            outputs: Outputs {
                next_ids: HostTensor::zeros(graph, &[rows])?,
                next_logprobs: HostTensor::zeros(graph, &[rows])?,
                logits: HostTensor::zeros(graph, &[rows, decoder.logits()])?,
                hidden: HostTensor::zeros(graph, &[rows, decoder.hidden])?,
            },
            prefill: None,
            step: None,
        };
        batch.inputs.read_every_row();
        batch.bind_all(decoder)?;
        Ok(batch)
    }

    /// Number of sequences.
    pub fn rows(&self) -> usize {
        self.lengths.len()
    }

    /// Filled positions of each row.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// The cache.
    pub fn cache(&self) -> &KvCache {
        &self.cache
    }

    /// How often a tensor was bound to the graph since the batch was made.
    pub fn binds(&self) -> u64 {
        self.binding.binds() + self.step.as_ref().map_or(0, DecodeStep::binds)
    }

    /// The most probable next token of each row after the last run, in the tokenizer's ids.
    pub fn next_ids(&self) -> &[i64] {
        self.outputs.next_ids.values()
    }

    /// The log-probabilities of [`DecodeBatch::next_ids`].
    pub fn next_logprobs(&self) -> &[f32] {
        self.outputs.next_logprobs.values()
    }

    /// The logits of each row after the last run, `[rows, logits]`.
    pub fn logits(&self) -> ArrayView2<'_, f32> {
        matrix(&self.outputs.logits)
    }

    /// The hidden states of each row after the last run, `[rows, hidden]`.
    pub fn hidden(&self) -> ArrayView2<'_, f32> {
        matrix(&self.outputs.hidden)
    }

    /// Forgets everything from position `lengths[row]` on in each row.
    ///
    /// # Panics
    /// If a length is greater than the row's, or their number is not the number of rows.
    pub fn rewind(&mut self, lengths: &[usize]) {
        assert_eq!(lengths.len(), self.rows(), "one length per row");
        for (own, &length) in self.lengths.iter_mut().zip(lengths) {
            assert!(length <= *own, "a row cannot be rewound forwards");
            *own = length;
        }
    }

    /// Makes room for `positions` in each row.
    pub(super) fn reserve(&mut self, positions: usize) -> Result<(), RuntimeError> {
        self.cache.reserve(positions, self.lengths.iter().copied().max().unwrap_or(0))
    }

    /// Forgets all sequences.
    pub(super) fn clear(&mut self) {
        self.lengths.fill(0);
        self.cache.clear();
    }

    /// What runs decode steps of this batch; it has to be put back.
    pub(super) fn take_step(&mut self, decoder: &Decoder) -> Result<DecodeStep, RuntimeError> {
        self.step.take().map_or_else(|| DecodeStep::new(decoder, self.rows()), Ok)
    }

    /// The adapter that a row's last segment ran with.
    pub(super) fn adapter(&self, row: usize) -> i64 {
        self.inputs.adapter_ids.values()[row]
    }

    /// Sets the adapter of each row to its segment's.
    pub(super) fn set_adapters(&mut self, segments: &[Segment<'_>]) {
        for (own, segment) in self.inputs.adapter_ids.values_mut().iter_mut().zip(segments) {
            *own = segment.adapter;
        }
    }

    /// Sets the next decode step of a row: one token at the row's end. A row without one idles in place.
    pub(super) fn set_step(&mut self, row: usize, token: Option<TokenId>) {
        let end = self.cache.longest() - 1;
        let past = self.lengths[row].min(end);
        self.inputs.past_lengths.values_mut()[row] = past as i64;
        if let Some(token) = token {
            self.inputs.input_ids.values_mut()[row] = i64::from(token);
            self.lengths[row] = past + 1;
        }
    }

    /// Takes the adapters of rows of another batch, for rows that were copied from there.
    pub(super) fn adopt_adapters(&mut self, source: &Self, rows: &[usize]) {
        let adapters = source.inputs.adapter_ids.values();
        for (own, &row) in self.inputs.adapter_ids.values_mut().iter_mut().zip(rows) {
            *own = adapters[row];
        }
    }

    /// Runs one decode step on what [`DecodeBatch::set_step`] has set; binds nothing once the step's inputs are bound.
    pub(super) fn run_step(&mut self, decoder: &mut Decoder) -> Result<(), RuntimeError> {
        if self.prefill.take().is_some() {
            // A prefill came before: its inputs have another shape.
            let inputs = &decoder.spec.inputs;
            self.binding.bind_input(&inputs.input_ids, &self.inputs.input_ids)?;
            self.binding.bind_input(&inputs.image_embeddings, &self.inputs.image_embeddings)?;
            self.inputs.read_every_row();
        }
        let before = decoder.session.spent();
        self.run(decoder)?;
        decoder.counters.steps += decoder.session.spent() - before;
        decoder.counters.step_bytes += decoder.step_bytes(self.lengths.iter().sum());
        Ok(())
    }

    pub(super) fn run(&mut self, decoder: &mut Decoder) -> Result<(), RuntimeError> {
        if !decoder.session.runs_on_host() {
            // A device copies an input when it is bound, so the new contents have to be bound again.
            self.bind_all(decoder)?;
        } else if self.bound_cache != self.cache.version() {
            self.bind_cache(decoder)?;
        }
        self.binding.run(&mut decoder.session)
    }

    fn bind_cache(&mut self, decoder: &Decoder) -> Result<(), RuntimeError> {
        let rows = self.rows();
        bind_cache(&mut self.binding, &mut self.cache, decoder, rows)?;
        self.bound_cache = self.cache.version();
        Ok(())
    }

    fn bind_all(&mut self, decoder: &Decoder) -> Result<(), RuntimeError> {
        self.bind_cache(decoder)?;
        let Self { binding, inputs, outputs, prefill, .. } = self;
        let (input_names, output_names) = (&decoder.spec.inputs, &decoder.spec.outputs);
        let prefill = prefill.as_ref();
        let input_ids = prefill.and_then(|prefill| prefill.input_ids.as_ref());
        let images = prefill.and_then(|prefill| prefill.image_embeddings.as_ref());
        binding.bind_input(&input_names.input_ids, input_ids.unwrap_or(&inputs.input_ids))?;
        binding.bind_input(&input_names.image_embeddings, images.unwrap_or(&inputs.image_embeddings))?;
        binding.bind_input(&input_names.past_lengths, &inputs.past_lengths)?;
        binding.bind_input(&input_names.logits_indices, &inputs.logits_indices)?;
        if let Some(adapter_ids) = &input_names.adapter_ids {
            binding.bind_input(adapter_ids, &inputs.adapter_ids)?;
        }
        binding.bind_output(&output_names.next_ids, &mut outputs.next_ids)?;
        binding.bind_output(&output_names.next_logprobs, &mut outputs.next_logprobs)?;
        binding.bind_output(&output_names.logits, &mut outputs.logits)?;
        binding.bind_output(&output_names.hidden, &mut outputs.hidden)
    }
}

/// Binds the first `rows` rows of a cache, which the graph reads and writes in place.
pub(super) fn bind_cache(
    binding: &mut Binding,
    cache: &mut KvCache,
    decoder: &Decoder,
    rows: usize,
) -> Result<(), RuntimeError> {
    let (names, shape) = (&decoder.names, cache.shape(rows));
    for (index, layer) in cache.layers.iter_mut().enumerate() {
        binding.bind_input_part(&names.past_key[index], &mut layer.keys, &shape)?;
        binding.bind_input_part(&names.past_value[index], &mut layer.values, &shape)?;
        binding.bind_output_part(&names.present_key[index], &mut layer.keys, &shape)?;
        binding.bind_output_part(&names.present_value[index], &mut layer.values, &shape)?;
    }
    Ok(())
}

fn matrix(tensor: &HostTensor<f32>) -> ArrayView2<'_, f32> {
    let shape = (tensor.shape()[0], tensor.shape()[1]);
    ArrayView2::from_shape(shape, tensor.values()).expect("the shape is the tensor's own")
}
