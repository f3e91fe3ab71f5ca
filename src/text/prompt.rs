//! The segments of a conversation as tokens.

use super::{TextError, TokenId, Tokenizer};
use crate::manifest::{LanguageSpec, PromptSpec, SegmentTemplate, Slot};

/// One position of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptToken {
    /// A token of the vocabulary.
    Token(TokenId),
    /// The image token of this number, from 0, of the row's own image.
    Image(usize),
}

/// Turns the manifest's templates and a user's text into tokens.
///
/// Every segment, and in it every piece, is tokenized on its own: a text of a user cannot merge with the template around it.
#[derive(Debug, Clone)]
pub struct PromptFormat {
    prompts: PromptSpec,
    image_tokens: usize,
}

impl PromptFormat {
    /// The format of a package whose images have `image_tokens` tokens each.
    pub fn new(language: &LanguageSpec, image_tokens: usize) -> Self {
        Self { prompts: language.prompts.clone(), image_tokens }
    }

    /// Everything up to and with the image.
    ///
    /// # Errors
    /// [`TextError::Tokenize`].
    pub fn prefix(&self, tokenizer: &Tokenizer) -> Result<Vec<PromptToken>, TextError> {
        self.fill(&self.prompts.prefix, "", tokenizer)
    }

    /// The instruction or question.
    ///
    /// # Errors
    /// [`TextError::Tokenize`], [`TextError::SpecialToken`].
    pub fn instruction(&self, text: &str, tokenizer: &Tokenizer) -> Result<Vec<PromptToken>, TextError> {
        self.fill(&self.prompts.instruction, text, tokenizer)
    }

    /// What opens a brief caption or an answer.
    ///
    /// # Errors
    /// [`TextError::Tokenize`].
    pub fn answer(&self, tokenizer: &Tokenizer) -> Result<Vec<PromptToken>, TextError> {
        self.fill(&self.prompts.answer, "", tokenizer)
    }

    /// What opens the router's lines.
    ///
    /// # Errors
    /// [`TextError::Tokenize`].
    pub fn router(&self, tokenizer: &Tokenizer) -> Result<Vec<PromptToken>, TextError> {
        self.fill(&self.prompts.router, "", tokenizer)
    }

    /// An expert's prompt and what opens its text.
    ///
    /// # Errors
    /// [`TextError::Tokenize`], [`TextError::SpecialToken`].
    pub fn expert(&self, prompt: &str, tokenizer: &Tokenizer) -> Result<Vec<PromptToken>, TextError> {
        self.fill(&self.prompts.expert, prompt, tokenizer)
    }

    fn fill(
        &self,
        segment: &[SegmentTemplate],
        filling: &str,
        tokenizer: &Tokenizer,
    ) -> Result<Vec<PromptToken>, TextError> {
        let mut tokens = Vec::new();
        for piece in segment {
            match piece {
                SegmentTemplate::Text { text } => {
                    tokens.extend(tokenizer.tokenize_template(text)?.into_iter().map(PromptToken::Token));
                }
                SegmentTemplate::Slot { slot: Slot::Image } => {
                    tokens.extend((0..self.image_tokens).map(PromptToken::Image));
                }
                SegmentTemplate::Slot { slot: Slot::Instruction | Slot::Prompt } => {
                    tokens.extend(tokenizer.tokenize_plain(filling)?.into_iter().map(PromptToken::Token));
                }
            }
        }
        Ok(tokens)
    }
}
