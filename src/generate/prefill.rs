//! Prompts go into the cache.

use ndarray::ArrayView3;

use super::batch::PrefillInputs;
use super::{DecodeBatch, Decoder, GenerationError};
use crate::runtime::{HostTensor, RuntimeError};
use crate::text::PromptToken;

/// Most new tokens of all rows together in one run; bounds the memory of a prefill.
const PREFILL_TOKENS: usize = 4096;

/// What one row of a batch is extended by.
#[derive(Debug, Clone)]
pub struct Segment<'a> {
    /// The tokens, at least one.
    pub tokens: &'a [PromptToken],
    /// Index of the row's image in the embeddings that go with the segments.
    pub image: usize,
    /// 0 for the bare base, else 1 + index of the adapter.
    pub adapter: i64,
}

impl Decoder {
    /// Appends one segment to each row; afterwards the batch's outputs are those of each row's last token.
    ///
    /// `images` f32 `[images, image_tokens, hidden]` holds the embeddings that the segments' image tokens stand for.
    ///
    /// # Errors
    /// [`GenerationError::PromptTooLong`] if a row would not leave a position for a text,
    /// [`GenerationError::EmptySegment`], [`GenerationError::Runtime`].
    ///
    /// # Panics
    /// If the number of segments is not the number of rows, or a segment names an image that is not there.
    pub fn extend(
        &mut self,
        batch: &mut DecodeBatch,
        segments: &[Segment<'_>],
        images: &ArrayView3<'_, f32>,
    ) -> Result<(), GenerationError> {
        check_room(batch, segments)?;
        let capacity = batch.cache.longest();
        self.bind_prefill(batch, segments, images).map_err(|source| self.failed(source))?;
        let longest = segments.iter().map(|segment| segment.tokens.len()).max().unwrap_or(0);
        let widest = (PREFILL_TOKENS / segments.len()).max(1);
        let mut done = 0;
        while done < longest {
            // Right-padding is written too, so the fullest row bounds the width; it has room for one token at least.
            let room = batch.lengths.iter().map(|length| capacity - length).min().unwrap_or(0);
            let width = (longest - done).min(room).min(widest);
            let filled = batch.lengths.iter().copied().max().unwrap_or(0);
            batch.reserve(filled + width).map_err(|source| self.failed(source))?;
            self.run_prefill(batch, segments, done..done + width).map_err(|source| self.failed(source))?;
            done += width;
        }
        self.count_prompts(segments);
        Ok(())
    }

    pub(super) fn count_prompts(&mut self, segments: &[Segment<'_>]) {
        self.counters.prompt_tokens +=
            segments.iter().map(|segment| segment.tokens.len() as u64).sum::<u64>();
    }

    /// Copies rows of `source` into a new batch: row `r` of the result continues from row `rows[r]`.
    ///
    /// # Errors
    /// [`GenerationError::Runtime`] if there is no memory for it.
    pub fn replicate(
        &mut self,
        source: &DecodeBatch,
        rows: &[usize],
    ) -> Result<DecodeBatch, GenerationError> {
        let mut batch = self.batch(rows.len())?;
        // What comes next is likely to be as long as what the source had room for.
        let positions = source.cache.capacity().min(self.capacity);
        batch.reserve(positions).map_err(|source| self.failed(source))?;
        batch.lengths.clear();
        batch.lengths.extend(rows.iter().map(|&row| source.lengths[row]));
        batch.cache.copy_rows(&source.cache, rows, &batch.lengths);
        batch.adopt_adapters(source, rows);
        Ok(batch)
    }

    fn bind_prefill(
        &self,
        batch: &mut DecodeBatch,
        segments: &[Segment<'_>],
        images: &ArrayView3<'_, f32>,
    ) -> Result<(), RuntimeError> {
        batch.set_adapters(segments);
        let has_images = segments
            .iter()
            .any(|segment| segment.tokens.iter().any(|token| matches!(token, PromptToken::Image(_))));
        let image_embeddings = if has_images {
            let (count, tokens, hidden) = images.dim();
            let mut tensor = HostTensor::zeros(self.session.name(), &[count, tokens, hidden])?;
            for (own, value) in tensor.values_mut().iter_mut().zip(images) {
                *own = *value;
            }
            Some(tensor)
        } else {
            None
        };
        let name = &self.spec.inputs.image_embeddings;
        batch
            .binding
            .bind_input(name, image_embeddings.as_ref().unwrap_or(&batch.inputs.image_embeddings))?;
        batch.prefill = Some(PrefillInputs { input_ids: None, image_embeddings });
        Ok(())
    }

    /// Runs the part `range` of every segment; rows whose segment is over repeat their last token, which changes nothing.
    fn run_prefill(
        &mut self,
        batch: &mut DecodeBatch,
        segments: &[Segment<'_>],
        range: std::ops::Range<usize>,
    ) -> Result<(), RuntimeError> {
        let width = range.len();
        let mut input_ids = HostTensor::<i64>::zeros(self.session.name(), &[segments.len(), width])?;
        for (row, segment) in segments.iter().enumerate() {
            let length = batch.lengths[row];
            let end = segment.tokens.len();
            let (part, past) = if range.start < end {
                (&segment.tokens[range.start..range.end.min(end)], length)
            } else {
                (&segment.tokens[end - 1..], length - 1)
            };
            let ids = &mut input_ids.values_mut()[row * width..(row + 1) * width];
            for (id, token) in ids.iter_mut().zip(part) {
                *id = self.input_id(*token, segment.image);
            }
            batch.inputs.past_lengths.values_mut()[row] = past as i64;
            batch.inputs.logits_indices.values_mut()[row] = (row * width + part.len() - 1) as i64;
            batch.lengths[row] = past + part.len();
        }
        batch.binding.bind_input(&self.spec.inputs.input_ids, &input_ids)?;
        if let Some(prefill) = &mut batch.prefill {
            prefill.input_ids = Some(input_ids);
        }
        let before = self.session.spent();
        batch.run(self)?;
        self.counters.prefill += self.session.spent() - before;
        Ok(())
    }

    /// A token as the graph wants it: image token `i` of the flattened embeddings is `-(i + 1)`.
    fn input_id(&self, token: PromptToken, image: usize) -> i64 {
        match token {
            PromptToken::Token(id) => i64::from(id),
            PromptToken::Image(index) => -((image * self.image_tokens + index) as i64 + 1),
        }
    }
}

/// That every row can be extended by its segment.
pub(super) fn check_room(batch: &DecodeBatch, segments: &[Segment<'_>]) -> Result<(), GenerationError> {
    assert_eq!(segments.len(), batch.rows(), "one segment per row");
    let capacity = batch.cache.longest();
    for (row, (segment, &length)) in segments.iter().zip(&batch.lengths).enumerate() {
        if segment.tokens.is_empty() {
            return Err(GenerationError::EmptySegment { row });
        }
        let tokens = length + segment.tokens.len();
        if tokens >= capacity {
            return Err(GenerationError::PromptTooLong { tokens, capacity });
        }
    }
    Ok(())
}
