//! How texts begin: with what a run has said, or in the run that reads the end of their prompts.

use ndarray::ArrayView3;

use super::compaction::Slots;
use super::prefill::check_room;
use super::step::STEP_TOKENS;
use super::writing::{Read, Row};
use super::{DecodeBatch, Decoder, GenerationError, Segment, Texts, Writing};
use crate::text::{PromptToken, TokenId};

impl Decoder {
    /// Appends one segment to each row, as [`Decoder::extend`] does, and begins the text that follows it. If there are
    /// drafts and the batch is small, the beginning of the text is drafted and checked by the run that the segments take
    /// anyway.
    ///
    /// # Errors
    /// Those of [`Decoder::extend`] and [`Decoder::write`].
    ///
    /// # Panics
    /// Those of [`Decoder::extend`] and [`Decoder::write`].
    pub fn open<'a>(
        &mut self,
        batch: &mut DecodeBatch,
        (segments, images): (&[Segment<'_>], &ArrayView3<'_, f32>),
        writing: Writing<'a>,
    ) -> Result<Texts<'a>, GenerationError> {
        let longest = segments.iter().map(|segment| segment.tokens.len()).max().unwrap_or(0);
        // All rows get as many tokens, so the fullest must have room for the longest opening. With more tokens, what is saved is less
        // than what it takes to read every one of them.
        let fits = batch.lengths.iter().all(|length| length + longest < self.capacity);
        let is_small = fits && segments.len() * longest < STEP_TOKENS;
        let Some(openings) = words(segments).filter(|_| writing.drafting.is_some() && is_small) else {
            self.extend(batch, segments, images)?;
            return self.begin(batch, writing, |_| true);
        };
        check_room(batch, segments)?;
        batch.set_adapters(segments);
        let mut rows = self.rows(batch, &writing, |_| true);
        for (row, opening) in rows.iter_mut().zip(openings) {
            row.start += opening.len();
            row.pending = opening;
        }
        let mut texts = self.texts(batch, writing, rows)?;
        let spent = self.advance(batch, &mut texts)?;
        self.counters.prefill += spent;
        self.count_prompts(segments);
        Ok(texts)
    }

    /// Texts that follow what [`Decoder::extend`] has read last.
    pub(super) fn begin<'a>(
        &mut self,
        batch: &mut DecodeBatch,
        writing: Writing<'a>,
        writes: impl Fn(usize) -> bool,
    ) -> Result<Texts<'a>, GenerationError> {
        let mut rows = self.rows(batch, &writing, writes);
        for (index, row) in rows.iter_mut().enumerate().filter(|(_, row)| row.is_running) {
            let (ids, logprobs) = (&batch.next_ids()[index..=index], &batch.next_logprobs()[index..=index]);
            let read = Read { ids, logprobs, filled: row.start };
            batch.lengths[index] = self.take(row, index, read, writing.params, None)?;
        }
        self.texts(batch, writing, rows)
    }

    fn texts<'a>(
        &self,
        batch: &mut DecodeBatch,
        writing: Writing<'a>,
        rows: Vec<Row>,
    ) -> Result<Texts<'a>, GenerationError> {
        let slots = Slots::new(rows.len(), writing.afterwards);
        let step = batch.take_step(self).map_err(|source| self.failed(source))?;
        Ok(Texts { writing, rows, slots, step })
    }

    fn rows(&self, batch: &DecodeBatch, writing: &Writing<'_>, writes: impl Fn(usize) -> bool) -> Vec<Row> {
        let longest = writing.params.max_new_tokens.min(self.capacity);
        (0..batch.rows())
            .map(|row| {
                let prompt = writing.drafting.as_ref().map(|drafting| drafting.prompts[row].as_slice());
                Row::new(longest, prompt, batch.lengths[row], writes(row))
            })
            .collect()
    }
}

/// The segments' tokens; none if one of them is an image token.
fn words(segments: &[Segment<'_>]) -> Option<Vec<Vec<TokenId>>> {
    let word = |token: &PromptToken| match *token {
        PromptToken::Token(id) => Some(id),
        PromptToken::Image(_) => None,
    };
    segments.iter().map(|segment| segment.tokens.iter().map(word).collect()).collect()
}
