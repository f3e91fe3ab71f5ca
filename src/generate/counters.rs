//! What a decoder has done.

use std::ops::{Add, Sub};

use crate::runtime::RunTime;

/// What decoders have done since they were loaded; the difference of two counts is what came between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DecoderCounters {
    /// Runs that put prompts into the cache, with the drafts that some of them check.
    pub prefill: RunTime,
    /// Decode steps.
    pub steps: RunTime,
    /// Runs of the head over the whole vocabulary, for scored choices.
    pub full_head: RunTime,
    /// Tokens of prompts, image tokens included.
    pub prompt_tokens: u64,
    /// Tokens of texts, stop tokens left out.
    pub written_tokens: u64,
    /// Rows of all decode steps that write texts, together.
    pub row_steps: u64,
    /// Of these, rows whose text was not finished; the others idled.
    pub live_row_steps: u64,
    /// Drafted tokens that were checked.
    pub drafted_tokens: u64,
    /// Of these, tokens that the model agreed with: each saved its row a step.
    pub accepted_tokens: u64,
    /// What the decode steps had to read at least: in each step the weights once and the filled part of the cache, bytes.
    pub step_bytes: u64,
}

impl Add for DecoderCounters {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            prefill: self.prefill + other.prefill,
            steps: self.steps + other.steps,
            full_head: self.full_head + other.full_head,
            prompt_tokens: self.prompt_tokens + other.prompt_tokens,
            written_tokens: self.written_tokens + other.written_tokens,
            row_steps: self.row_steps + other.row_steps,
            live_row_steps: self.live_row_steps + other.live_row_steps,
            drafted_tokens: self.drafted_tokens + other.drafted_tokens,
            accepted_tokens: self.accepted_tokens + other.accepted_tokens,
            step_bytes: self.step_bytes + other.step_bytes,
        }
    }
}

impl Sub for DecoderCounters {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            prefill: self.prefill - earlier.prefill,
            steps: self.steps - earlier.steps,
            full_head: self.full_head - earlier.full_head,
            prompt_tokens: self.prompt_tokens.saturating_sub(earlier.prompt_tokens),
            written_tokens: self.written_tokens.saturating_sub(earlier.written_tokens),
            row_steps: self.row_steps.saturating_sub(earlier.row_steps),
            live_row_steps: self.live_row_steps.saturating_sub(earlier.live_row_steps),
            drafted_tokens: self.drafted_tokens.saturating_sub(earlier.drafted_tokens),
            accepted_tokens: self.accepted_tokens.saturating_sub(earlier.accepted_tokens),
            step_bytes: self.step_bytes.saturating_sub(earlier.step_bytes),
        }
    }
}
