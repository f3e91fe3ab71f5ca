//! Work of a known size: prompts and texts of given lengths, whatever they say.

use super::Engine;
use crate::error::{Error, Result};
use crate::generate::GenerationParams;
use crate::text::{PromptToken, TokenId};

/// Lengths of a full or brief caption's prompts and texts in tokens, for benchmarks: the same work whatever the package, the
/// picture and the words. What such a caption says means nothing.
///
/// Instruction and experts' prompts are cut or repeated to these lengths, and texts are written up to them, end tokens or not.
/// What opens the router's lines and a brief caption stays as the package has it and comes on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedWork {
    /// Prefix and instruction together, image tokens included. A package whose prefix alone is longer keeps it, without an
    /// instruction.
    pub prefix_tokens: usize,
    /// The router's lines, at least 1.
    pub router_tokens: usize,
    /// The prompt of each expert with the template around it, at least 1.
    pub prompt_tokens: usize,
    /// The text of each expert, at least 1.
    pub expert_tokens: usize,
    /// A brief caption, at least 1.
    pub brief_tokens: usize,
}

/// Which of a request's texts is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    /// The router's lines.
    Router,
    /// One expert's text.
    Expert,
    /// A brief caption.
    Brief,
}

impl FixedWork {
    /// Cuts or lengthens an instruction that follows a prefix of `prefix` tokens.
    pub(super) fn fit_instruction(&self, tokens: &mut Vec<PromptToken>, prefix: usize) {
        fit(tokens, self.prefix_tokens.saturating_sub(prefix));
    }

    /// Cuts or lengthens an expert's prompt.
    pub(super) fn fit_prompt(&self, tokens: &mut Vec<PromptToken>) {
        fit(tokens, self.prompt_tokens);
    }

    fn tokens_of(&self, text: Text) -> usize {
        match text {
            Text::Router => self.router_tokens,
            Text::Expert => self.expert_tokens,
            Text::Brief => self.brief_tokens,
        }
    }
}

impl Engine {
    /// When a text ends: as the package says, or where the work does.
    pub(super) fn params_of(&self, text: Text, work: Option<FixedWork>) -> GenerationParams {
        let limits = self.manifest().generation.max_new_tokens;
        match (work, text) {
            (Some(work), text) => GenerationParams::exactly(work.tokens_of(text)),
            (None, Text::Router) => self.params(limits.router),
            (None, Text::Expert) => self.params(limits.expert),
            (None, Text::Brief) => self.params(limits.caption),
        }
    }

    /// Refuses work that the package's context cannot hold: its texts would end early.
    pub(super) fn check_work(&self, work: &FixedWork) -> Result<()> {
        let prefix = self.format.prefix(&self.tokenizer)?.len().max(work.prefix_tokens);
        let router = self.format.router(&self.tokenizer)?.len() + work.router_tokens;
        let brief = self.format.answer(&self.tokenizer)?.len() + work.brief_tokens;
        let expert = work.prompt_tokens + work.expert_tokens;
        let tokens = prefix + router.max(brief).max(expert);
        let capacity = self.manifest().language.max_context;
        let lengths = [work.router_tokens, work.prompt_tokens, work.expert_tokens, work.brief_tokens];
        if tokens > capacity || lengths.contains(&0) {
            return Err(Error::Work { model: self.id.clone(), tokens, capacity });
        }
        Ok(())
    }
}

/// Brings a prompt to a length: cuts its beginning, or repeats its last token.
fn fit(tokens: &mut Vec<PromptToken>, length: usize) {
    let surplus = tokens.len().saturating_sub(length);
    tokens.drain(..surplus);
    let last = tokens.last().copied().unwrap_or(PromptToken::Token(TokenId::MIN));
    tokens.resize(length, last);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_cut_at_its_beginning_and_lengthened_at_its_end() {
        let prompt: Vec<PromptToken> = [1, 2, 3].map(PromptToken::Token).to_vec();
        for (length, expected) in [(2, vec![2, 3]), (3, vec![1, 2, 3]), (5, vec![1, 2, 3, 3, 3]), (0, vec![])]
        {
            let mut tokens = prompt.clone();
            fit(&mut tokens, length);
            let expected: Vec<PromptToken> = expected.into_iter().map(PromptToken::Token).collect();
            assert_eq!(tokens, expected);
        }
        let mut empty = Vec::new();
        fit(&mut empty, 2);
        assert_eq!(empty.len(), 2);
    }
}
