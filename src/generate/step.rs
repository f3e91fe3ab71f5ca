//! Decode steps: every row that writes is continued by its last token and the tokens that were drafted for it.

use super::Decoder;
use super::batch::bind_cache;
use super::kv_cache::KvCache;
use crate::runtime::{Binding, HostTensor, RunTime, RuntimeError};
use crate::text::TokenId;

/// Most tokens that a step continues a row by.
pub(super) const WIDEST_STEP: usize = 16;

/// New tokens of all rows together that a step has room for at least; few rows may have more than [`WIDEST_STEP`] each, as the
/// tokens that open their texts.
pub(super) const STEP_TOKENS: usize = 256;

/// Any token: nobody sees it.
const PADDING: i64 = 0;

/// The graph bound to the first rows of a batch's cache, for one number of rows and of new tokens at a time.
///
/// A step of the shape of the last one binds and allocates nothing. One of another width binds four small tensors anew, one of
/// fewer rows everything: that happens when rows are compacted. All of them are parts of tensors that are made once, but for the
/// cache, which is bound anew when it has grown.
#[derive(Debug)]
pub(super) struct DecodeStep {
    binding: Binding,
    bound: Bound,
    /// `[1, image_tokens, hidden]` zeros: a decode step sees no image.
    image_embeddings: HostTensor<f32>,
    /// `[rows, width]`
    input_ids: HostTensor<i64>,
    /// `[rows]`
    past_lengths: HostTensor<i64>,
    /// `[rows * width]`: every new token is read, so this counts up, whatever the shape.
    logits_indices: HostTensor<i64>,
    /// `[rows]`
    adapter_ids: HostTensor<i64>,
    /// `[rows * width]`
    next_ids: HostTensor<i64>,
    /// `[rows * width]`
    next_logprobs: HostTensor<f32>,
}

/// The shape that is bound; zeros: none yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Bound {
    rows: usize,
    width: usize,
    /// Version of the cache.
    cache: u64,
}

/// Where one row is continued, and as what.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowPlace {
    /// Filled positions.
    pub(super) past: usize,
    /// 0 for the bare base, else 1 + index of the adapter.
    pub(super) adapter: i64,
}

impl DecodeStep {
    pub(super) fn new(decoder: &Decoder, rows: usize) -> Result<Self, RuntimeError> {
        let graph = decoder.session.name();
        let tokens = [(rows * WIDEST_STEP).max(STEP_TOKENS)];
        let mut step = Self {
            binding: Binding::new(&decoder.session)?,
            bound: Bound::default(),
            image_embeddings: HostTensor::zeros(graph, &[1, decoder.image_tokens, decoder.hidden])?,
            input_ids: HostTensor::zeros(graph, &tokens)?,
            past_lengths: HostTensor::zeros(graph, &[rows])?,
            logits_indices: HostTensor::zeros(graph, &tokens)?,
            adapter_ids: HostTensor::zeros(graph, &[rows])?,
            next_ids: HostTensor::zeros(graph, &tokens)?,
            next_logprobs: HostTensor::zeros(graph, &tokens)?,
        };
        for (read, index) in step.logits_indices.values_mut().iter_mut().zip(0..) {
            *read = index;
        }
        Ok(step)
    }

    /// Most new tokens of each of so many rows.
    pub(super) fn widest(&self, rows: usize) -> usize {
        self.input_ids.values().len() / rows.max(1)
    }

    /// How often a tensor was bound to the graph.
    pub(super) fn binds(&self) -> u64 {
        self.binding.binds()
    }

    /// Sets what the row in a slot is continued by in a step of `width` tokens. A row with fewer is padded; what stands behind
    /// its own tokens in the cache is overwritten by the next step.
    pub(super) fn set_row(
        &mut self,
        slot: usize,
        width: usize,
        place: RowPlace,
        tokens: impl Iterator<Item = TokenId>,
    ) {
        self.past_lengths.values_mut()[slot] = place.past as i64;
        self.adapter_ids.values_mut()[slot] = place.adapter;
        let own = tokens.map(i64::from).chain(std::iter::repeat(PADDING));
        for (id, token) in self.input_ids.values_mut()[slot * width..][..width].iter_mut().zip(own) {
            *id = token;
        }
    }

    /// The most probable token after each new token of a row, and its log-probability; `width` of both.
    pub(super) fn read(&self, slot: usize, width: usize) -> (&[i64], &[f32]) {
        let tokens = slot * width..(slot + 1) * width;
        (&self.next_ids.values()[tokens.clone()], &self.next_logprobs.values()[tokens])
    }

    fn bind(
        &mut self,
        decoder: &Decoder,
        cache: &mut KvCache,
        rows: usize,
        width: usize,
    ) -> Result<(), RuntimeError> {
        let Self { binding, bound, .. } = self;
        let (inputs, outputs) = (&decoder.spec.inputs, &decoder.spec.outputs);
        // Until everything is bound, nothing is.
        let before = std::mem::take(bound);
        let now = Bound { rows, width, cache: cache.version() };
        if before.rows != rows {
            binding.bind_input(&inputs.image_embeddings, &self.image_embeddings)?;
            binding.bind_input_part(&inputs.past_lengths, &mut self.past_lengths, &[rows])?;
            if let Some(adapter_ids) = &inputs.adapter_ids {
                binding.bind_input_part(adapter_ids, &mut self.adapter_ids, &[rows])?;
            }
        }
        if (before.rows, before.cache) != (rows, now.cache) {
            bind_cache(binding, cache, decoder, rows)?;
        }
        if (before.rows, before.width) != (rows, width) {
            let tokens = [rows * width];
            binding.bind_input_part(&inputs.input_ids, &mut self.input_ids, &[rows, width])?;
            binding.bind_input_part(&inputs.logits_indices, &mut self.logits_indices, &tokens)?;
            binding.bind_output_part(&outputs.next_ids, &mut self.next_ids, &tokens)?;
            binding.bind_output_part(&outputs.next_logprobs, &mut self.next_logprobs, &tokens)?;
        }
        *bound = now;
        Ok(())
    }

    /// Runs what [`DecodeStep::set_row`] has set for the first `rows` rows of the cache; returns the time in the graph.
    pub(super) fn run(
        &mut self,
        decoder: &mut Decoder,
        cache: &mut KvCache,
        rows: usize,
        width: usize,
    ) -> Result<RunTime, RuntimeError> {
        if !decoder.session.runs_on_host() {
            // A device copies an input when it is bound, so the new contents have to be bound again.
            self.bound = Bound::default();
        }
        self.bind(decoder, cache, rows, width)?;
        let before = decoder.session.spent();
        self.binding.run(&mut decoder.session)?;
        Ok(decoder.session.spent() - before)
    }
}
