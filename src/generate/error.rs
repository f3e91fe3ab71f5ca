//! What can go wrong between a prompt and a text.

use std::path::PathBuf;

use crate::runtime::RuntimeError;
use crate::text::{TextError, TokenId};

/// A decoder cannot continue a prompt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerationError {
    /// The prompt leaves no room for a text.
    #[error(
        "the prompt is too long: {tokens} tokens, and the model's context of {capacity} has to hold the text too"
    )]
    PromptTooLong {
        /// Length of the prompt, tokens.
        tokens: usize,
        /// Positions of the cache.
        capacity: usize,
    },
    /// A segment without tokens.
    #[error("a prompt segment of row {row} is empty")]
    EmptySegment {
        /// Row of the batch.
        row: usize,
    },
    /// The decoder gave a score that is not a number.
    #[error("decoder \"{decoder}\" gave a score that is not a number, in row {row}")]
    NotANumber {
        /// The decoder's name.
        decoder: String,
        /// Row of the batch.
        row: usize,
    },
    /// The decoder gave a token that does not exist.
    #[error("decoder \"{decoder}\" gave token {token}, beyond its vocabulary of {vocabulary}")]
    UnknownToken {
        /// The decoder's name.
        decoder: String,
        /// The token.
        token: i64,
        /// Size of the vocabulary.
        vocabulary: usize,
    },
    /// The list of the head's tokens cannot be used.
    #[error("output ids of decoder \"{decoder}\", {path}: {problem}", path = path.display())]
    OutputIds {
        /// The decoder's name.
        decoder: String,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A choice has a word that the decoder cannot score.
    #[error(
        "a choice has a word, token {token}, that is not among the model's output words, and the package has no full head"
    )]
    NotScorable {
        /// The word.
        token: TokenId,
    },
    /// A graph cannot be loaded or run.
    #[error("cannot run decoder \"{decoder}\"")]
    Runtime {
        /// The decoder's name.
        decoder: String,
        /// Why.
        source: RuntimeError,
    },
    /// Text cannot be turned into tokens or back.
    #[error("cannot prepare the prompt")]
    Text {
        /// Why.
        #[from]
        source: TextError,
    },
}

impl GenerationError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::PromptTooLong { .. } => {
                Some("use a shorter instruction, question or list of choices".to_owned())
            }
            Self::NotScorable { .. } => {
                Some("use other words for the choices, or ask without choices".to_owned())
            }
            _ => None,
        }
    }
}
