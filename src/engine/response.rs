//! What an engine answers.

use std::time::Duration;

pub use crate::generate::FinishReason;
pub use crate::router::PromptSource;

/// The answer of an engine that is less sure than it has to be.
pub const NOT_SURE: &str = "not sure";

/// An image of lower familiarity is more probably foreign to the model than of the kind that it was trained on.
pub const UNFAMILIAR_BELOW: f32 = 0.5;

/// True for a familiarity below [`UNFAMILIAR_BELOW`]: what is said about the image is likely to be invented.
pub fn is_unfamiliar(familiarity: Option<f32>) -> bool {
    familiarity.is_some_and(|familiarity| familiarity < UNFAMILIAR_BELOW)
}

/// What an image shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Caption {
    /// The caption.
    pub text: String,
    /// The experts' texts in the order of the manifest, also those that stay out of the caption; empty for a brief caption.
    pub experts: Vec<ExpertText>,
    /// `0..=1`: of a brief caption by the rule for texts of [`ConfidenceSpec`](crate::manifest::ConfidenceSpec), of a full
    /// one that of the leading expert ([`ExpertsSpec::lead`](crate::manifest::ExpertsSpec::lead)).
    pub confidence: f32,
    /// How probable it is that the image is of the kind that the model was trained on, `0..=1`; none if the package does not
    /// tell. The confidences are scaled by it.
    pub familiarity: Option<f32>,
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
    /// `0..=1`, by the rule for texts of [`ConfidenceSpec`](crate::manifest::ConfidenceSpec).
    pub confidence: f32,
    /// Whether it is part of the caption: false if the expert is not sure enough, see
    /// [`ConfidenceSpec::silent_below`](crate::manifest::ConfidenceSpec::silent_below).
    pub in_caption: bool,
    /// Why the text ends.
    pub finish: FinishReason,
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The answer: free text, or the most probable choice; [`NOT_SURE`] if its confidence is below the threshold.
    pub text: String,
    /// What the answer would have been, if it is [`NOT_SURE`].
    pub said: Option<String>,
    /// `0..=1`, of what was or would have been said, by the rules of [`ConfidenceSpec`](crate::manifest::ConfidenceSpec).
    pub confidence: f32,
    /// Every choice with its probability, in the order of the question; they add up to 1. Rule and source:
    /// [`ConfidenceSpec`](crate::manifest::ConfidenceSpec).
    pub choices: Option<Vec<(String, f32)>>,
    /// As [`Caption::familiarity`].
    pub familiarity: Option<f32>,
}

impl Answer {
    /// Keeps the answer back if its confidence is below `threshold`.
    pub(super) fn or_not_sure(self, threshold: f64) -> Self {
        if f64::from(self.confidence) >= threshold {
            return self;
        }
        Self { text: NOT_SURE.to_owned(), said: Some(self.text), ..self }
    }
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
    /// Prompts into the cache: prefix, instruction and the branches' own segments; under a memory limit also the loading of the decoder
    /// that takes them.
    pub prefill: Duration,
    /// The router's lines.
    pub route: Duration,
    /// The experts', captioner's or answers' texts.
    pub decode: Duration,
    /// The stages before a caption's first written token, mostly the router's; none before there is one.
    pub first_token: Option<Duration>,
}

impl Timings {
    /// The sum of all stages.
    pub fn total(&self) -> Duration {
        self.preprocess + self.encode + self.prefill + self.route + self.decode
    }
}
