//! When a text ends.

use crate::text::TokenId;

/// When a text ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationParams {
    /// Longest text in tokens, the stop token included; at least 1.
    pub max_new_tokens: usize,
    /// Tokens that end a text and are no part of it; none: every text is as long as it may be.
    pub stop_tokens: Vec<TokenId>,
}

impl GenerationParams {
    /// Exactly `tokens` tokens, whatever the model would say: work of a known size, for benchmarks. At least 1; fewer are
    /// written only where the cache ends.
    pub fn exactly(tokens: usize) -> Self {
        Self { max_new_tokens: tokens, stop_tokens: Vec::new() }
    }
}
