//! The router: which expert gets which prompt.

mod fixed;
mod generative;

pub use fixed::fixed_plan;
pub use generative::plan_from_text;

/// Who wrote a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PromptSource {
    /// The router wrote it for this image.
    Generated,
    /// It is the expert's prompt of the manifest.
    Fixed,
}

impl PromptSource {
    /// The name in machine-readable output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Generated => "generated",
            Self::Fixed => "fixed",
        }
    }
}

/// What one expert is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Index of the expert in the manifest's list.
    pub expert: usize,
    /// The prompt, plain text.
    pub prompt: String,
    /// Who wrote it.
    pub source: PromptSource,
}

/// What the experts are asked about one image, in the order of the manifest's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutingPlan {
    /// One assignment per expert.
    pub assignments: Vec<Assignment>,
}
