//! A text as tokens, and why it ends.

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
    pub(super) fn with_capacity(max_new_tokens: usize) -> Self {
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
