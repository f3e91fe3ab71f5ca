//! Greedy decoding: the most probable token, again and again.

use super::compaction::Slots;
use super::drafts::{Draft, context_of, step_width};
use super::step::{DecodeStep, RowPlace};
use super::{
    Afterwards, DecodeBatch, Decoder, DraftSource, Drafting, FinishReason, Generation, GenerationError,
    GenerationParams,
};
use crate::text::{PromptToken, TokenId};

/// How the texts of a batch are written.
#[derive(Debug)]
pub struct Writing<'a> {
    /// When a text ends.
    pub params: &'a GenerationParams,
    /// What becomes of the rows.
    pub afterwards: Afterwards,
    /// Where drafts come from; none: every token takes a step of its own.
    pub drafting: Option<Drafting<'a>>,
}

/// One row and its text.
#[derive(Debug)]
struct Row {
    text: Generation,
    is_running: bool,
    /// Filled positions before the text.
    start: usize,
    /// Prompt and text as drafts see them.
    context: Vec<TokenId>,
    draft: Draft,
}

/// What a run says about one row: the token after each new one, and its log-probability.
#[derive(Debug, Clone, Copy)]
struct Read<'a> {
    ids: &'a [i64],
    logprobs: &'a [f32],
    /// Filled positions that the first of them follows.
    filled: usize,
}

impl Decoder {
    /// Continues every row with `writes(row)` greedily from where [`Decoder::extend`] left it; the other rows come back without
    /// tokens. Ends as soon as all texts do, and leaves every row as it was before its text.
    ///
    /// # Errors
    /// Those of [`Decoder::write`].
    pub fn greedy(
        &mut self,
        batch: &mut DecodeBatch,
        params: &GenerationParams,
        writes: impl Fn(usize) -> bool,
    ) -> Result<Vec<Generation>, GenerationError> {
        let writing = Writing { params, afterwards: Afterwards::Kept, drafting: None };
        self.write(batch, writing, writes)
    }

    /// As [`Decoder::greedy`]; drafts, if there are any, make fewer steps of the same texts, which their sources learn.
    ///
    /// # Errors
    /// [`GenerationError::NotANumber`], [`GenerationError::UnknownToken`], [`GenerationError::Runtime`].
    ///
    /// # Panics
    /// If drafts lack the role or the prompt of a row, or the source of a role.
    pub fn write(
        &mut self,
        batch: &mut DecodeBatch,
        writing: Writing<'_>,
        writes: impl Fn(usize) -> bool,
    ) -> Result<Vec<Generation>, GenerationError> {
        let Writing { params, afterwards, mut drafting } = writing;
        let mut rows: Vec<Row> = (0..batch.rows())
            .map(|row| {
                let longest = params.max_new_tokens.min(self.capacity);
                let prompt = drafting.as_ref().map(|drafting| drafting.prompts[row].as_slice());
                Row::new(longest, prompt, batch.lengths[row], writes(row))
            })
            .collect();
        for (index, row) in rows.iter_mut().enumerate().filter(|(_, row)| row.is_running) {
            let (ids, logprobs) = (&batch.next_ids()[index..=index], &batch.next_logprobs()[index..=index]);
            let read = Read { ids, logprobs, filled: row.start };
            batch.lengths[index] = self.take(row, index, read, params, None)?;
        }
        let mut slots = Slots::new(rows.len(), afterwards);
        let mut step = batch.take_step(self).map_err(|source| self.failed(source))?;
        while rows.iter().any(|row| row.is_running) {
            slots.compact(batch, |row| rows[row].is_running);
            let width = self.prepare(batch, (&slots, &mut step), &mut rows, drafting.as_ref(), params);
            let filled = slots.rows().iter().map(|&row| batch.lengths[row]).max().unwrap_or(0);
            batch.reserve(filled + width).map_err(|source| self.failed(source))?;
            step.run(self, &mut batch.cache, slots.rows().len(), width)
                .map_err(|source| self.failed(source))?;
            self.count_step(batch, slots.rows());
            for (slot, &index) in slots.rows().iter().enumerate() {
                let row = &mut rows[index];
                if row.is_running {
                    self.counters.live_row_steps += 1;
                    let (ids, logprobs) = step.read(slot, width);
                    let read = Read { ids, logprobs, filled: batch.lengths[index] + 1 };
                    let source =
                        drafting.as_mut().map(|drafting| &mut drafting.sources[drafting.roles[index]]);
                    batch.lengths[index] = self.take(row, index, read, params, source)?;
                }
            }
        }
        slots.restore(batch);
        batch.step = Some(step);
        let texts: Vec<Generation> = rows.into_iter().map(|row| row.text).collect();
        self.counters.written_tokens += texts.iter().map(|text| text.tokens.len() as u64).sum::<u64>();
        if let Some(drafting) = drafting {
            for (text, &role) in
                texts.iter().zip(&drafting.roles).filter(|(text, _)| !text.logprobs.is_empty())
            {
                drafting.sources[role].learn(text);
            }
        }
        Ok(texts)
    }

    /// Drafts, and sets the next step; returns how wide it is.
    fn prepare(
        &self,
        batch: &DecodeBatch,
        (slots, step): (&Slots, &mut DecodeStep),
        rows: &mut [Row],
        drafting: Option<&Drafting<'_>>,
        params: &GenerationParams,
    ) -> usize {
        let mut width = 1;
        if let Some(drafting) = drafting {
            for &index in slots.rows() {
                let row = &mut rows[index];
                if !row.is_running {
                    continue;
                }
                let source = &drafting.sources[drafting.roles[index]];
                source.draft(&mut row.context, &mut row.draft, self.spec.vocabulary);
                // One token of a step is the model's own.
                row.draft.truncate(params.max_new_tokens - row.text.logprobs.len() - 1);
            }
            let longest = slots.rows().iter().map(|&index| batch.lengths[index]).max().unwrap_or(0);
            let rows = &*rows;
            let drafts = slots.rows().iter().map(|&index| &rows[index]).filter(|row| row.is_running);
            let room = self.capacity - longest;
            width = step_width(&drafts.map(|row| &row.draft), slots.rows().len(), room);
        }
        for (slot, &index) in slots.rows().iter().enumerate() {
            let row = &rows[index];
            let place = RowPlace { past: batch.lengths[index], adapter: batch.adapter(index) };
            let last = row.text.tokens.last().copied().filter(|_| row.is_running);
            let drafted = row.draft.tokens(width).take_while(|_| row.is_running);
            step.set_row(slot, width, place, last.into_iter().chain(drafted));
        }
        width
    }

    /// Takes what a run says into the row's text, as far as drafts agree with it; returns the row's filled positions: those
    /// of its past and the tokens that stay, or those before the text if it ends.
    fn take(
        &mut self,
        row: &mut Row,
        index: usize,
        read: Read<'_>,
        params: &GenerationParams,
        mut source: Option<&mut DraftSource>,
    ) -> Result<usize, GenerationError> {
        let fed = row.draft.tokens(read.ids.len()).count();
        self.counters.drafted_tokens += fed as u64;
        for (place, (&id, &logprob)) in read.ids.iter().zip(read.logprobs).enumerate() {
            let token = self.checked(index, id, logprob)?;
            row.text.logprobs.push(logprob);
            let is_stop = params.stop_tokens.contains(&token);
            let guess = row.draft.guess(place);
            let has_agreed = guess.is_some_and(|guess| guess.token == (!is_stop).then_some(token));
            if let (Some(source), Some(guess)) = (&mut source, guess) {
                source.record(guess, has_agreed);
            }
            let filled = read.filled + place;
            if is_stop {
                row.text.finish = FinishReason::Stop;
            } else {
                row.text.tokens.push(token);
                row.context.push(token);
            }
            let is_accepted = has_agreed && place < fed;
            self.counters.accepted_tokens += u64::from(is_accepted);
            row.is_running =
                !is_stop && row.text.logprobs.len() < params.max_new_tokens && filled < self.capacity;
            if !row.is_running {
                break;
            }
            if !is_accepted {
                return Ok(filled);
            }
        }
        Ok(row.start)
    }

    fn checked(&self, row: usize, id: i64, logprob: f32) -> Result<TokenId, GenerationError> {
        if logprob.is_nan() {
            return Err(GenerationError::NotANumber { decoder: self.name().to_owned(), row });
        }
        let token = TokenId::try_from(id).ok().filter(|&token| (token as usize) < self.spec.vocabulary);
        token.ok_or_else(|| GenerationError::UnknownToken {
            decoder: self.name().to_owned(),
            token: id,
            vocabulary: self.spec.vocabulary,
        })
    }

    fn count_step(&mut self, batch: &DecodeBatch, rows: &[usize]) {
        self.counters.row_steps += rows.len() as u64;
        self.counters.step_bytes += self.step_bytes(rows.iter().map(|&row| batch.lengths[row]).sum());
    }
}

impl Row {
    /// `prompt`: what drafts may look up; none: there are no drafts.
    fn new(longest: usize, prompt: Option<&[PromptToken]>, start: usize, is_running: bool) -> Self {
        let context = match prompt {
            Some(prompt) => context_of(prompt, longest),
            None => Vec::with_capacity(longest),
        };
        Self { text: Generation::with_capacity(longest), is_running, start, context, draft: Draft::new() }
    }
}
