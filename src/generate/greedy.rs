//! Greedy decoding: the most probable token, again and again.

use super::{DecodeBatch, Decoder, GenerationError, GenerationParams};
use crate::text::TokenId;

/// Why a text ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FinishReason {
    /// The model ended it.
    Stop,
    /// It reached the longest length that was allowed, or the end of the cache.
    Length,
}

impl FinishReason {
    /// The name in machine-readable output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

/// A text as tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    /// The tokens without the stop token.
    pub tokens: Vec<TokenId>,
    /// The log-probability of each token, then that of the stop token if there was one.
    pub logprobs: Vec<f32>,
    /// Why the text ends.
    pub finish: FinishReason,
}

impl Generation {
    fn with_capacity(max_new_tokens: usize) -> Self {
        Self {
            tokens: Vec::with_capacity(max_new_tokens),
            logprobs: Vec::with_capacity(max_new_tokens),
            finish: FinishReason::Length,
        }
    }

    /// Mean of [`Generation::logprobs`]; that of a probability of 0 for a text without any token.
    pub fn mean_logprob(&self) -> f64 {
        if self.logprobs.is_empty() {
            return f64::NEG_INFINITY;
        }
        let sum: f64 = self.logprobs.iter().map(|&logprob| f64::from(logprob)).sum();
        sum / self.logprobs.len() as f64
    }
}

impl Decoder {
    /// Continues every row with `writes(row)` greedily from where [`Decoder::extend`] left it; the other rows idle and
    /// come back without tokens. Ends as soon as all texts do.
    ///
    /// # Errors
    /// [`GenerationError::NotANumber`], [`GenerationError::UnknownToken`], [`GenerationError::Runtime`].
    pub fn greedy(
        &mut self,
        batch: &mut DecodeBatch,
        params: &GenerationParams,
        writes: impl Fn(usize) -> bool,
    ) -> Result<Vec<Generation>, GenerationError> {
        let rows = batch.rows();
        let mut running: Vec<bool> = (0..rows).map(writes).collect();
        let mut texts: Vec<Generation> =
            (0..rows).map(|_| Generation::with_capacity(params.max_new_tokens.min(self.capacity))).collect();
        let mut step = 0;
        loop {
            step += 1;
            for row in 0..rows {
                if running[row] {
                    running[row] = self.take_token(batch, row, params, &mut texts[row])?;
                }
            }
            if step == params.max_new_tokens || !running.contains(&true) {
                self.counters.written_tokens +=
                    texts.iter().map(|text| text.tokens.len() as u64).sum::<u64>();
                return Ok(texts);
            }
            for row in 0..rows {
                let token = texts[row].tokens.last().copied().filter(|_| running[row]);
                batch.set_step(row, token);
            }
            batch.run_step(self).map_err(|source| self.failed(source))?;
        }
    }

    /// Takes the row's next token into its text; false if the text ends with it.
    fn take_token(
        &self,
        batch: &DecodeBatch,
        row: usize,
        params: &GenerationParams,
        text: &mut Generation,
    ) -> Result<bool, GenerationError> {
        let (id, logprob) = (batch.next_ids()[row], batch.next_logprobs()[row]);
        if logprob.is_nan() {
            return Err(GenerationError::NotANumber { decoder: self.name().to_owned(), row });
        }
        let token = TokenId::try_from(id).ok().filter(|&token| (token as usize) < self.spec.vocabulary);
        let token = token.ok_or_else(|| GenerationError::UnknownToken {
            decoder: self.name().to_owned(),
            token: id,
            vocabulary: self.spec.vocabulary,
        })?;
        text.logprobs.push(logprob);
        if params.stop_tokens.contains(&token) {
            text.finish = FinishReason::Stop;
            return Ok(false);
        }
        text.tokens.push(token);
        Ok(batch.lengths()[row] < batch.cache().capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_over_all_tokens_and_nothing_written_has_no_probability() {
        let logprobs = vec![0.5_f32.ln(), 0.125_f32.ln()];
        let text = Generation { tokens: vec![7], logprobs, finish: FinishReason::Stop };
        assert!((text.mean_logprob() - 0.25_f64.ln()).abs() < 1e-6);
        assert!(Generation::with_capacity(3).mean_logprob().exp() <= 0.0);
    }
}
