//! What an engine is asked.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::FixedWork;
use crate::expert::MemoryLimit;
use crate::manifest::{Variant, Views};
use crate::runtime::ProviderPolicy;

/// How to load an engine.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Directory of the model package.
    pub model: PathBuf,
    /// On which hardware to run.
    pub provider: ProviderPolicy,
    /// Variant of decoders and vision encoder; none: the one that the manifest names for the provider.
    pub variant: Option<Variant>,
    /// How often the vision encoder looks at an image; none: as the manifest says.
    pub views: Option<Views>,
    /// Threads of the one pool that all sessions of the process share; none: as many as the process may use.
    /// The first engine of a process decides.
    pub threads: Option<NonZeroUsize>,
    /// Whether tokens are drafted.
    pub speculation: Speculation,
    /// The ONNX Runtime library; none: it is searched for (see [`find_library`](crate::runtime::find_library)).
    pub ort_library: Option<PathBuf>,
    /// Most weights in memory at a time; none: all of the package are. Texts do not depend on it.
    pub memory_limit: Option<MemoryLimit>,
}

impl EngineOptions {
    /// The package in `model` with every choice left to the manifest and the machine.
    pub fn new(model: impl Into<PathBuf>) -> Self {
        Self {
            model: model.into(),
            provider: ProviderPolicy::auto(),
            variant: None,
            views: None,
            threads: None,
            speculation: Speculation::default(),
            ort_library: None,
            memory_limit: None,
        }
    }
}

/// Whether tokens are drafted, from earlier texts, the package's draft texts and the prompt, and checked several in one step.
/// The texts are the same either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Speculation {
    /// As many as pay.
    #[default]
    On,
    /// None: every token takes a decode step.
    Off,
}

/// How long a caption is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// The texts of all experts, merged.
    #[default]
    Full,
    /// One sentence of the captioner.
    Brief,
}

/// Who writes the experts' prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouterChoice {
    /// The package's language model, from the image and the instruction.
    Generative,
    /// Nobody: every expert gets its prompt of the manifest.
    Fixed,
}

/// What a caption should be.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CaptionRequest {
    /// How long it is.
    pub style: Style,
    /// The instruction; none: the manifest's.
    pub instruction: Option<String>,
    /// Who writes the experts' prompts of a full caption; none: the manifest's router.
    pub router: Option<RouterChoice>,
    /// The experts of a full caption by name, merged in the manifest's order whatever the order here; none: all. The router
    /// writes the prompts of all experts all the same, so that the chosen ones get those that they would get among all.
    pub experts: Option<Vec<String>>,
    /// Below this confidence an expert's text stays out of the full caption, unless the expert leads or none is surer;
    /// `0 <= silent_below < 1`, 0: none does; none: as the manifest says.
    pub silent_below: Option<f64>,
    /// Lengths that prompts and texts are brought to, for benchmarks; none: as they come.
    pub work: Option<FixedWork>,
}

/// A question about an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The question, plain text.
    pub text: String,
    /// The answers to choose from; none: any text.
    pub choices: Option<Vec<String>>,
    /// Below this confidence the answer is [`NOT_SURE`](super::NOT_SURE), `0 <= unsure_below < 1`, 0: never; none: as the
    /// manifest says.
    pub unsure_below: Option<f64>,
}

impl Question {
    /// A question with any text for an answer.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), choices: None, unsure_below: None }
    }

    /// A question whose answer is one of `choices`.
    pub fn with_choices<T: Into<String>>(
        text: impl Into<String>,
        choices: impl IntoIterator<Item = T>,
    ) -> Self {
        let choices = choices.into_iter().map(Into::into).collect();
        Self { choices: Some(choices), ..Self::new(text) }
    }
}

/// A question about one of several images.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageQuestion {
    /// Index of the image.
    pub image: usize,
    /// The question.
    pub question: Question,
}
