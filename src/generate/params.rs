//! When a text ends.

use crate::text::TokenId;

/// When a text ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationParams {
    /// Longest text in tokens, the stop token included; at least 1.
    pub max_new_tokens: usize,
    /// Tokens that end a text and are no part of it.
    pub stop_tokens: Vec<TokenId>,
}
