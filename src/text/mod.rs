//! Text to tokens and back, and the segments of a conversation.

mod error;
mod prompt;
mod tokenizer;

pub use error::TextError;
pub use prompt::{PromptFormat, PromptToken};
pub use tokenizer::{TokenId, Tokenizer};
