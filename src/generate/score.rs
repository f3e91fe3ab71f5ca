//! How probable are given texts?

use ndarray::ArrayView1;

use super::{DecodeBatch, Decoder, GenerationError};
use crate::text::TokenId;

/// Rows that are scored together at most; bounds the memory for long lists of choices.
const SCORED_ROWS: usize = 32;

/// One continuation to score.
struct Job<'a> {
    /// Row of the batch that it continues.
    row: usize,
    /// Its tokens with the closing stop token.
    tokens: &'a [TokenId],
    /// The head that its row's choices are rated by.
    head: Head,
    /// Sum of the log-probabilities so far.
    score: f64,
}

/// Which head's logits the scores are normalised over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Head {
    Own,
    Full,
}

impl Decoder {
    /// The log-probability of each of `choices[row]` as the continuation of its row, from where [`Decoder::extend`] left
    /// it: the sum over the choice's tokens, which end with the stop token. The batch is not changed.
    ///
    /// The log-probabilities of a row's choices are normalised over the words of the decoder's own head; if one of them
    /// has another word, all of the row are over the whole vocabulary, through the full head.
    ///
    /// # Errors
    /// [`GenerationError::NotScorable`] if a word is outside the head and there is no full one,
    /// [`GenerationError::PromptTooLong`], [`GenerationError::NotANumber`], [`GenerationError::Runtime`].
    pub fn score(
        &mut self,
        batch: &DecodeBatch,
        choices: &[Vec<Vec<TokenId>>],
    ) -> Result<Vec<Vec<f64>>, GenerationError> {
        let mut jobs = Vec::new();
        for (row, list) in choices.iter().enumerate() {
            let head = self.head_for(list)?;
            jobs.extend(list.iter().map(|tokens| Job { row, tokens, head, score: 0.0 }));
        }
        for job in &jobs {
            // The stop token itself is only rated, never fed.
            let tokens = batch.lengths()[job.row] + job.tokens.len() - 1;
            let capacity = batch.cache().longest();
            if tokens > capacity {
                return Err(GenerationError::PromptTooLong { tokens, capacity });
            }
        }
        let rows: Vec<usize> = jobs.iter().map(|job| job.row).collect();
        self.rate(batch, &rows, &mut jobs, 0)?;
        for jobs in jobs.chunks_mut(SCORED_ROWS) {
            self.score_chunk(batch, jobs)?;
        }
        let mut scores = jobs.into_iter().map(|job| job.score);
        Ok(choices.iter().map(|list| scores.by_ref().take(list.len()).collect()).collect())
    }

    /// Feeds the choices token by token and rates what follows each.
    fn score_chunk(&mut self, source: &DecodeBatch, jobs: &mut [Job<'_>]) -> Result<(), GenerationError> {
        let longest = jobs.iter().map(|job| job.tokens.len()).max().unwrap_or(0);
        if longest <= 1 {
            return Ok(());
        }
        let rows: Vec<usize> = jobs.iter().map(|job| job.row).collect();
        let mut batch = self.replicate(source, &rows)?;
        let own: Vec<usize> = (0..jobs.len()).collect();
        let filled = batch.lengths().iter().copied().max().unwrap_or(0);
        // A row whose choice is over idles one position behind it.
        let positions = (filled + longest).min(self.capacity);
        batch.reserve(positions).map_err(|source| self.failed(source))?;
        for position in 1..longest {
            for (row, job) in jobs.iter().enumerate() {
                let fed = (position < job.tokens.len()).then(|| job.tokens[position - 1]);
                batch.set_step(row, fed);
            }
            batch.run_step(self).map_err(|source| self.failed(source))?;
            self.rate(&batch, &own, jobs, position)?;
        }
        self.recycle(batch);
        Ok(())
    }

    /// Adds the log-probability of each job's token at `position`, from row `rows[job]` of the batch.
    fn rate(
        &mut self,
        batch: &DecodeBatch,
        rows: &[usize],
        jobs: &mut [Job<'_>],
        position: usize,
    ) -> Result<(), GenerationError> {
        let full =
            if jobs.iter().any(|job| job.head == Head::Full) { Some(self.full_logits(batch)?) } else { None };
        for (job, &row) in jobs.iter_mut().zip(rows) {
            let Some(&token) = job.tokens.get(position) else { continue };
            let logprob = match (job.head, &full) {
                (Head::Full, Some(full)) => log_probability(&full.row(row), token as usize),
                _ => self.logit_of(token).and_then(|index| log_probability(&batch.logits().row(row), index)),
            };
            job.score += logprob
                .ok_or_else(|| GenerationError::NotANumber { decoder: self.name().to_owned(), row })?;
        }
        Ok(())
    }

    fn head_for(&self, choices: &[Vec<TokenId>]) -> Result<Head, GenerationError> {
        let mut tokens = choices.iter().flatten();
        match tokens.find(|&&token| self.logit_of(token).is_none()) {
            None => Ok(Head::Own),
            Some(_) if self.has_full_head() => {
                let beyond = choices.iter().flatten().find(|&&token| token as usize >= self.spec.vocabulary);
                beyond.map_or(Ok(Head::Full), |&token| Err(GenerationError::NotScorable { token }))
            }
            Some(&token) => Err(GenerationError::NotScorable { token }),
        }
    }
}

/// `log softmax(logits)[index]`; `None` if it is not a number.
fn log_probability(logits: &ArrayView1<'_, f32>, index: usize) -> Option<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - largest).exp()).sum();
    let logprob = f64::from(*logits.get(index)? - largest) - sum.ln();
    (!logprob.is_nan()).then_some(logprob)
}

/// `softmax(scores / temperature)`: the probability of each of a closed set of choices, which add up to 1.
///
/// `scores` are sums of log-probabilities as [`Decoder::score`] gives them; `temperature` is above 0.
pub fn choice_probabilities(scores: &[f64], temperature: f64) -> Vec<f64> {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = scores.iter().map(|score| ((score - largest) / temperature).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn a_log_probability_is_that_of_the_softmax() {
        let logits = array![0.0_f32, (3.0_f32).ln()];
        let logprob = log_probability(&logits.view(), 1).unwrap();
        assert!((logprob - 0.75_f64.ln()).abs() < 1e-6);
        assert_eq!(log_probability(&array![0.0, f32::NAN].view(), 0), None);
        assert_eq!(log_probability(&logits.view(), 2), None);
    }

    #[test]
    fn probabilities_of_choices_add_up_to_one_even_for_very_small_scores() {
        let probabilities = choice_probabilities(&[-1000.0, -1000.0 + 3.0_f64.ln()], 1.0);
        assert!((probabilities[1] - 0.75).abs() < 1e-9);
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }
}
