//! What can go wrong between text and tokens.

use std::path::PathBuf;

/// Text cannot be turned into tokens or back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// The tokenizer's file cannot be used.
    #[error("cannot use the tokenizer {path}", path = path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A token that the manifest names is not in the vocabulary.
    #[error("token \"{token}\" is not in the vocabulary of {path}", path = path.display())]
    UnknownToken {
        /// The token.
        token: String,
        /// The tokenizer's file.
        path: PathBuf,
    },
    /// Text cannot be tokenized.
    #[error("cannot tokenize \"{text}\"")]
    Tokenize {
        /// The beginning of the text.
        text: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Plain text became a special token; text of a user must never steer the conversation.
    #[error("the text \"{text}\" would become special token {token}")]
    SpecialToken {
        /// The beginning of the text.
        text: String,
        /// The token's id.
        token: u32,
    },
    /// Tokens cannot be turned into text.
    #[error("cannot detokenize {count} tokens")]
    Detokenize {
        /// Number of tokens.
        count: usize,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
