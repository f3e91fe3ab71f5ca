//! What is known of the texts of a batch while they are written.

use super::compaction::Slots;
use super::drafts::{Draft, context_of};
use super::step::DecodeStep;
use super::{Afterwards, Drafting, Generation, GenerationParams};
use crate::text::{PromptToken, TokenId};

/// How the texts of a batch are written.
#[derive(Debug)]
pub struct Writing<'a> {
    /// When a text ends.
    pub params: &'a GenerationParams,
    /// What becomes of the rows.
    pub afterwards: Afterwards,
    /// Where drafts come from; none: every token takes a step of its own.
    pub drafting: Option<Drafting<'a>>,
}

/// Texts of a batch that are being written; see [`open`](super::Decoder::open).
#[derive(Debug)]
pub struct Texts<'a> {
    pub(super) writing: Writing<'a>,
    pub(super) rows: Vec<Row>,
    pub(super) slots: Slots,
    pub(super) step: DecodeStep,
}

/// One row and its text.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) text: Generation,
    pub(super) is_running: bool,
    /// Filled positions before the text.
    pub(super) start: usize,
    /// Tokens that are known, but not in the cache: at first what opens the text, later its last token.
    pub(super) pending: Vec<TokenId>,
    /// Prompt and text as drafts see them.
    pub(super) context: Vec<TokenId>,
    pub(super) draft: Draft,
}

/// What a run says about one row: the token after each new one, and its log-probability.
#[derive(Debug, Clone, Copy)]
pub(super) struct Read<'a> {
    pub(super) ids: &'a [i64],
    pub(super) logprobs: &'a [f32],
    /// Filled positions that the first of them follows.
    pub(super) filled: usize,
}

impl Row {
    /// `prompt`: what drafts may look up; none: there are no drafts.
    pub(super) fn new(
        longest: usize,
        prompt: Option<&[PromptToken]>,
        start: usize,
        is_running: bool,
    ) -> Self {
        let context = match prompt {
            Some(prompt) => context_of(prompt, longest),
            None => Vec::with_capacity(longest),
        };
        let (text, pending) = (Generation::with_capacity(longest), Vec::with_capacity(1));
        Self { text, is_running, start, pending, context, draft: Draft::new() }
    }
}
