//! Greedy decoding: the most probable token, again and again.

use super::drafts::step_width;
use super::step::RowPlace;
use super::writing::{Read, Row};
use super::{
    Afterwards, DecodeBatch, Decoder, DraftSource, FinishReason, Generation, GenerationError,
    GenerationParams, Texts, Writing,
};
use crate::runtime::RunTime;
use crate::text::TokenId;

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
        let texts = self.begin(batch, writing, writes)?;
        self.finish(batch, texts)
    }

    /// Writes to their ends texts that [`Decoder::open`] began. Afterwards every row is as it was before its text.
    ///
    /// # Errors
    /// Those of [`Decoder::write`].
    pub fn finish(
        &mut self,
        batch: &mut DecodeBatch,
        mut texts: Texts<'_>,
    ) -> Result<Vec<Generation>, GenerationError> {
        while texts.rows.iter().any(|row| row.is_running) {
            texts.slots.compact(batch, |row| texts.rows[row].is_running);
            self.count_step(batch, &texts);
            let spent = self.advance(batch, &mut texts)?;
            self.counters.steps += spent;
        }
        let Texts { writing, rows, slots, step } = texts;
        slots.restore(batch);
        batch.step = Some(step);
        let texts: Vec<Generation> = rows.into_iter().map(|row| row.text).collect();
        self.counters.written_tokens += texts.iter().map(|text| text.tokens.len() as u64).sum::<u64>();
        if let Some(drafting) = writing.drafting {
            for (text, &role) in
                texts.iter().zip(&drafting.roles).filter(|(text, _)| !text.logprobs.is_empty())
            {
                drafting.sources[role].learn(text);
            }
        }
        Ok(texts)
    }

    /// One step of all rows that write, with what is pending and what is drafted; returns the time in the graph.
    pub(super) fn advance(
        &mut self,
        batch: &mut DecodeBatch,
        texts: &mut Texts<'_>,
    ) -> Result<RunTime, GenerationError> {
        let width = self.prepare(batch, texts);
        let Texts { writing: Writing { params, drafting, .. }, rows, slots, step } = texts;
        let filled = slots.rows().iter().map(|&row| batch.lengths[row]).max().unwrap_or(0);
        batch.reserve(filled + width).map_err(|source| self.failed(source))?;
        let spent = step
            .run(self, &mut batch.cache, slots.rows().len(), width)
            .map_err(|source| self.failed(source))?;
        for (slot, &index) in slots.rows().iter().enumerate() {
            let row = &mut rows[index];
            if row.is_running {
                let (ids, logprobs) = step.read(slot, width);
                let first = row.pending.len() - 1;
                let filled = batch.lengths[index] + row.pending.len();
                let read = Read { ids: &ids[first..], logprobs: &logprobs[first..], filled };
                let source = drafting.as_mut().map(|drafting| &mut drafting.sources[drafting.roles[index]]);
                batch.lengths[index] = self.take(row, index, read, params, source)?;
            }
        }
        Ok(spent)
    }

    /// Drafts, and sets the next step; returns how wide it is.
    fn prepare(&self, batch: &DecodeBatch, texts: &mut Texts<'_>) -> usize {
        let Texts { writing: Writing { params, drafting, .. }, rows, slots, step } = texts;
        let pending = slots.rows().iter().map(|&row| &rows[row]).filter(|row| row.is_running);
        let mut width = pending.map(|row| row.pending.len()).max().unwrap_or(1);
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
            let drafts = slots.rows().iter().map(|&index| &rows[index]).filter(|row| row.is_running);
            let room = (self.capacity - longest).min(step.widest(slots.rows().len())) - (width - 1);
            width += step_width(&drafts.map(|row| &row.draft), slots.rows().len(), room) - 1;
        }
        for (slot, &index) in slots.rows().iter().enumerate() {
            let row = &rows[index];
            let place = RowPlace { past: batch.lengths[index], adapter: batch.adapter(index) };
            let pending = row.pending.iter().copied().filter(|_| row.is_running);
            let drafted =
                row.draft.tokens(width + 1 - row.pending.len().max(1)).take_while(|_| row.is_running);
            step.set_row(slot, width, place, pending.chain(drafted));
        }
        width
    }

    /// Takes what a run says into the row's text, as far as drafts agree with it; returns the row's filled positions: those
    /// of its past and the tokens that stay, or those before the text if it ends.
    pub(super) fn take(
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
                row.pending.clear();
                row.pending.push(token);
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

    fn count_step(&mut self, batch: &DecodeBatch, texts: &Texts<'_>) {
        let rows = texts.slots.rows();
        self.counters.row_steps += rows.len() as u64;
        self.counters.live_row_steps += rows.iter().filter(|&&row| texts.rows[row].is_running).count() as u64;
        self.counters.step_bytes += self.step_bytes(rows.iter().map(|&row| batch.lengths[row]).sum());
    }
}
