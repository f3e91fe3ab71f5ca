//! What an engine is asked.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use crate::manifest::Variant;
use crate::runtime::ProviderPolicy;

/// How to load an engine.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Directory of the model package.
    pub model: PathBuf,
    /// On which hardware to run.
    pub provider: ProviderPolicy,
    /// Variant of the decoders; none: the one that the manifest names for the provider.
    pub variant: Option<Variant>,
    /// Threads of the one pool that all sessions of the process share; none: as many as the process may use.
    /// The first engine of a process decides.
    pub threads: Option<NonZeroUsize>,
    /// The ONNX Runtime library; none: it is searched for (see [`find_library`](crate::runtime::find_library)).
    pub ort_library: Option<PathBuf>,
}

impl EngineOptions {
    /// The package in `model` with every choice left to the manifest and the machine.
    pub fn new(model: impl Into<PathBuf>) -> Self {
        Self {
            model: model.into(),
            provider: ProviderPolicy::auto(),
            variant: None,
            threads: None,
            ort_library: None,
        }
    }
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

/// What a caption should be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CaptionRequest {
    /// How long it is.
    pub style: Style,
    /// The instruction; none: the manifest's.
    pub instruction: Option<String>,
}

/// A question about an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The question, plain text.
    pub text: String,
    /// The answers to choose from; none: any text.
    pub choices: Option<Vec<String>>,
}

impl Question {
    /// A question with any text for an answer.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), choices: None }
    }

    /// A question whose answer is one of `choices`.
    pub fn with_choices<T: Into<String>>(
        text: impl Into<String>,
        choices: impl IntoIterator<Item = T>,
    ) -> Self {
        Self { text: text.into(), choices: Some(choices.into_iter().map(Into::into).collect()) }
    }
}

/// A question about one of several images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageQuestion {
    /// Index of the image.
    pub image: usize,
    /// The question.
    pub question: Question,
}
