//! One error over those of the modules, and what it means to a caller.

use crate::expert::LimitTooSmall;
use crate::generate::GenerationError;
use crate::manifest::ManifestError;
use crate::raster::RasterError;
use crate::runtime::RuntimeError;
use crate::text::TextError;
use crate::vision::VisionError;

/// What this library's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Anything that can go wrong; the messages leave out their source, which [`std::error::Error::source`] gives.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model package is missing or invalid.
    #[error("cannot use the model package")]
    Manifest {
        /// Why.
        #[from]
        source: ManifestError,
    },
    /// A raster or picture.
    #[error("cannot read the input")]
    Raster {
        /// Why.
        #[from]
        source: RasterError,
    },
    /// ONNX Runtime, a provider or a graph.
    #[error("cannot run the model")]
    Runtime {
        /// Why.
        #[from]
        source: RuntimeError,
    },
    /// Text and tokens.
    #[error("cannot prepare the text")]
    Text {
        /// Why.
        #[from]
        source: TextError,
    },
    /// Pixels and image embeddings.
    #[error("cannot see the image")]
    Vision {
        /// Why.
        #[from]
        source: VisionError,
    },
    /// Prompts and texts.
    #[error("cannot write the text")]
    Generation {
        /// Why.
        #[from]
        source: GenerationError,
    },
    /// A question with an empty list of choices, or with an empty or repeated choice.
    #[error("question \"{question}\": {problem}")]
    Choices {
        /// The question.
        question: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A request with a threshold that is none.
    #[error("{of}: expected 0 <= number < 1, found {found}")]
    Threshold {
        /// Whose threshold it is.
        of: String,
        /// The threshold.
        found: f64,
    },
    /// An expert that the package does not have, or one that is asked for twice.
    #[error("experts {}: expected some of {}, each at most once", asked.join(", "), known.join(", "))]
    Experts {
        /// The experts of the request.
        asked: Vec<String>,
        /// The experts of the package.
        known: Vec<String>,
    },
    /// Work of given lengths that the package cannot do.
    #[error(
        "the work takes {tokens} tokens of the context of {model}; expected at most {capacity}, and at least one token of each text"
    )]
    Work {
        /// The package.
        model: String,
        /// Positions that the longest sequence takes.
        tokens: usize,
        /// Positions of the cache.
        capacity: usize,
    },
    /// A memory limit that not even one decoder keeps.
    #[error("cannot keep the memory limit")]
    MemoryLimit {
        /// How much is needed.
        #[from]
        source: LimitTooSmall,
    },
    /// A generative router that the package does not have.
    #[error("model package {model} has no generative router")]
    NoGenerativeRouter {
        /// The package.
        model: String,
    },
}

/// What an error means to a caller. One table each maps it to exit codes, HTTP statuses, Python exceptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The command line, or a request made of it, is wrong.
    Usage,
    /// Some inputs failed; each is recorded.
    Partial,
    /// The input cannot be read or is more than the model takes.
    InvalidInput,
    /// The model package is missing or invalid.
    ModelPackage,
    /// ONNX Runtime, or a provider that was asked for, is not available.
    ProviderUnavailable,
    /// A fault of the program.
    Internal,
    /// Interrupted; the same command resumes.
    Interrupted,
}

impl ErrorKind {
    /// Exit code of the command line.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::Partial => 3,
            Self::InvalidInput => 4,
            Self::ModelPackage => 5,
            Self::ProviderUnavailable => 69,
            Self::Internal => 70,
            Self::Interrupted => 75,
        }
    }

    /// The name in machine-readable output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Partial => "partial",
            Self::InvalidInput => "invalid_input",
            Self::ModelPackage => "model_package",
            Self::ProviderUnavailable => "provider_unavailable",
            Self::Internal => "internal",
            Self::Interrupted => "interrupted",
        }
    }
}

impl Error {
    /// What the error means to a caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Manifest { .. } => ErrorKind::ModelPackage,
            Self::Raster { source } => raster_kind(source),
            Self::Runtime { source } => runtime_kind(source),
            Self::Text { source } => text_kind(source),
            Self::Vision { source } => match source {
                VisionError::Image { .. } => ErrorKind::InvalidInput,
                VisionError::CannotTurn => ErrorKind::Usage,
                VisionError::Runtime { source } => runtime_kind(source),
                VisionError::Text { source } => text_kind(source),
                _ => ErrorKind::Internal,
            },
            Self::Generation { source } => generation_kind(source),
            Self::Work { .. } => ErrorKind::InvalidInput,
            Self::Choices { .. }
            | Self::Threshold { .. }
            | Self::Experts { .. }
            | Self::MemoryLimit { .. }
            | Self::NoGenerativeRouter { .. } => ErrorKind::Usage,
        }
    }

    /// What to do about it, if anything is known to help.
    pub fn hint(&self) -> Option<String> {
        let mut current: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = current {
            let hint = error
                .downcast_ref::<ManifestError>()
                .and_then(ManifestError::hint)
                .or_else(|| error.downcast_ref::<RasterError>().and_then(RasterError::hint))
                .or_else(|| error.downcast_ref::<RuntimeError>().and_then(RuntimeError::hint))
                .or_else(|| error.downcast_ref::<GenerationError>().and_then(GenerationError::hint));
            if hint.is_some() {
                return hint;
            }
            current = error.source();
        }
        match self {
            Self::MemoryLimit { source } => {
                Some(format!("allow at least {} (--memory-limit), or take a smaller variant", source.needed))
            }
            Self::NoGenerativeRouter { .. } => {
                Some("leave the router to the package, or take the fixed one".to_owned())
            }
            Self::Work { .. } => Some("take a package with a longer context (max_context)".to_owned()),
            Self::Experts { .. } => Some("rsmoe model info shows what each expert is for".to_owned()),
            _ if self.kind() == ErrorKind::ModelPackage => {
                Some("check the package: rsmoe model verify".to_owned())
            }
            _ => None,
        }
    }
}

fn raster_kind(error: &RasterError) -> ErrorKind {
    match error {
        // The file is sound; the bands that were asked for are not in it.
        RasterError::BandCount { .. }
        | RasterError::BandMissing { .. }
        | RasterError::BandNameUnknown { .. }
        | RasterError::BandChoice { .. }
        | RasterError::PresetMismatch { .. }
        | RasterError::StretchBands { .. } => ErrorKind::Usage,
        RasterError::Interrupted { .. } => ErrorKind::Interrupted,
        RasterError::ReaderUnusable { .. } => ErrorKind::Internal,
        _ => ErrorKind::InvalidInput,
    }
}

fn runtime_kind(error: &RuntimeError) -> ErrorKind {
    match error {
        RuntimeError::LibraryNotFound { .. }
        | RuntimeError::LibraryUnusable { .. }
        | RuntimeError::Start { .. }
        | RuntimeError::ProviderMissing { .. }
        | RuntimeError::ProviderFailed { .. } => ErrorKind::ProviderUnavailable,
        RuntimeError::Load { .. } | RuntimeError::Signature { .. } => ErrorKind::ModelPackage,
        _ => ErrorKind::Internal,
    }
}

fn text_kind(error: &TextError) -> ErrorKind {
    match error {
        TextError::Load { .. } | TextError::UnknownToken { .. } => ErrorKind::ModelPackage,
        TextError::Tokenize { .. } | TextError::SpecialToken { .. } => ErrorKind::InvalidInput,
        TextError::Detokenize { .. } => ErrorKind::Internal,
    }
}

fn generation_kind(error: &GenerationError) -> ErrorKind {
    match error {
        GenerationError::PromptTooLong { .. } | GenerationError::NotScorable { .. } => {
            ErrorKind::InvalidInput
        }
        GenerationError::OutputIds { .. } => ErrorKind::ModelPackage,
        GenerationError::Runtime { source, .. } => runtime_kind(source),
        GenerationError::Text { source } => text_kind(source),
        _ => ErrorKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_exit_code() {
        let codes = [
            (ErrorKind::Usage, 2),
            (ErrorKind::Partial, 3),
            (ErrorKind::InvalidInput, 4),
            (ErrorKind::ModelPackage, 5),
            (ErrorKind::ProviderUnavailable, 69),
            (ErrorKind::Internal, 70),
            (ErrorKind::Interrupted, 75),
        ];
        for (kind, code) in codes {
            assert_eq!(kind.exit_code(), code, "{}", kind.name());
        }
    }

    #[test]
    fn a_missing_library_is_a_provider_that_is_not_available_however_deep_it_lies() {
        let missing = || RuntimeError::LibraryNotFound { searched: vec!["here".into()] };
        let direct = Error::from(missing());
        let deep = Error::from(GenerationError::Runtime { decoder: "base".to_owned(), source: missing() });
        for error in [direct, deep] {
            assert_eq!(error.kind(), ErrorKind::ProviderUnavailable);
            assert!(error.hint().is_some_and(|hint| hint.contains("--ort-lib")));
        }
    }

    #[test]
    fn a_message_does_not_repeat_its_source() {
        let error = Error::from(GenerationError::PromptTooLong { tokens: 300, capacity: 192 });
        let source = std::error::Error::source(&error).expect("a source").to_string();
        assert!(!error.to_string().contains(&source));
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}
