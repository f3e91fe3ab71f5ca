//! What an engine answers.

use std::time::Duration;

pub use crate::generate::FinishReason;
pub use crate::router::PromptSource;

/// What an image shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Caption {
    /// The caption.
    pub text: String,
    /// The experts' texts in the order of the manifest; empty for a brief caption.
    pub experts: Vec<ExpertText>,
    /// `0..=1`: of a full caption the mean over the experts, of a brief one the mean token probability,
    /// `exp(mean log-probability)`. It is not calibrated: 0.8 does not mean right in four cases of five.
    pub confidence: f32,
    /// Where the time went, for the whole batch that the image was part of.
    pub timings: Timings,
}

/// What one expert wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpertText {
    /// Name of the expert.
    pub name: String,
    /// The prompt that it was given.
    pub prompt: String,
    /// Who wrote the prompt.
    pub prompt_source: PromptSource,
    /// What it wrote.
    pub text: String,
    /// `0..=1`, mean token probability: `exp(mean log-probability)` over the text's tokens with the stop token; not
    /// calibrated.
    pub confidence: f32,
    /// Why the text ends.
    pub finish: FinishReason,
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The answer: free text, or the most probable choice.
    pub text: String,
    /// `0..=1`: mean token probability of a free answer, probability of a chosen one; not calibrated.
    pub confidence: f32,
    /// Every choice with its probability, in the order of the question; they add up to 1.
    ///
    /// `p(choice) = softmax over the choices of s(choice)`, where `s` is the sum of the log-probabilities of the choice's
    /// tokens and of the stop token after them.
    pub choices: Option<Vec<(String, f32)>>,
}

/// Where the time of a batch went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timings {
    /// Images in the batch.
    pub images: usize,
    /// Pixels to the encoder's input.
    pub preprocess: Duration,
    /// Vision encoder and connector.
    pub encode: Duration,
    /// Prompts into the cache: prefix, instruction and the branches' own segments.
    pub prefill: Duration,
    /// The router's lines.
    pub route: Duration,
    /// The experts', captioner's or answers' texts.
    pub decode: Duration,
}

impl Timings {
    /// The sum of all stages.
    pub fn total(&self) -> Duration {
        self.preprocess + self.encode + self.prefill + self.route + self.decode
    }
}
