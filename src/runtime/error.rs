//! What can go wrong between this program and ONNX Runtime.

use std::path::PathBuf;

use super::ExecutionProvider;

/// An error of ONNX Runtime, boxed so that its type stays inside this module.
pub(super) type Source = Box<dyn std::error::Error + Send + Sync>;

/// ONNX Runtime cannot do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// No ONNX Runtime library at any of the places where it is looked for.
    #[error("no ONNX Runtime library found; looked at {places}", places = paths(searched))]
    LibraryNotFound {
        /// The places, in order.
        searched: Vec<PathBuf>,
    },
    /// A file is there but cannot be used as ONNX Runtime.
    #[error("cannot use the ONNX Runtime library {path}", path = path.display())]
    LibraryUnusable {
        /// The library.
        path: PathBuf,
        /// Why.
        source: Source,
    },
    /// ONNX Runtime was loaded but does not start.
    #[error("ONNX Runtime {path} does not start", path = path.display())]
    Start {
        /// The library.
        path: PathBuf,
        /// Why.
        source: Source,
    },
    /// The library was built without the execution provider.
    #[error(
        "execution provider {provider} is not part of the ONNX Runtime library {library}; it has {available}",
        library = library.display(), available = available.join(", ")
    )]
    ProviderMissing {
        /// The provider that was asked for.
        provider: ExecutionProvider,
        /// The library in use.
        library: PathBuf,
        /// The providers that the library names.
        available: Vec<String>,
    },
    /// The execution provider is part of the library but does not start.
    #[error("execution provider {provider} does not start")]
    ProviderFailed {
        /// The provider that was asked for.
        provider: ExecutionProvider,
        /// Why.
        source: Source,
    },
    /// A graph cannot be loaded.
    #[error("cannot load graph \"{graph}\" from {path}", path = path.display())]
    Load {
        /// The graph's name in the manifest.
        graph: String,
        /// Its file.
        path: PathBuf,
        /// Why.
        source: Source,
    },
    /// A graph is not the one that the manifest describes.
    #[error("graph \"{graph}\" is not the one that the manifest describes:{list}", list = lines(mismatches))]
    Signature {
        /// The graph's name in the manifest.
        graph: String,
        /// Every difference.
        mismatches: Vec<String>,
    },
    /// A graph was loaded but a run of it failed.
    #[error("graph \"{graph}\" failed while it ran")]
    Run {
        /// The graph's name in the manifest.
        graph: String,
        /// Why.
        source: Source,
    },
    /// Memory for a tensor cannot be had or bound.
    #[error("cannot {action} a tensor of {bytes} bytes for graph \"{graph}\"")]
    Memory {
        /// What was tried.
        action: &'static str,
        /// The graph's name in the manifest.
        graph: String,
        /// Length of the tensor, bytes.
        bytes: usize,
        /// Why.
        source: Source,
    },
    /// A graph gave a tensor of another kind than its signature says.
    #[error("output \"{output}\" of graph \"{graph}\": expected {expected}, found {found}")]
    Output {
        /// The graph's name in the manifest.
        graph: String,
        /// The output's name.
        output: String,
        /// What the signature says.
        expected: String,
        /// What came.
        found: String,
    },
}

impl RuntimeError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::LibraryNotFound { .. } => Some(
                "`make` in the source tree fetches it into ./.ort; or name one with --ort-lib or ORT_DYLIB_PATH: it is \
                 libonnxruntime.so.* inside the Python wheel onnxruntime, in onnxruntime/capi"
                    .to_owned(),
            ),
            Self::LibraryUnusable { .. } | Self::Start { .. } => Some(
                "ONNX Runtime 1.24 or later for this processor is needed: libonnxruntime.so.* inside the Python wheel \
                 onnxruntime, in onnxruntime/capi; name it with --ort-lib or ORT_DYLIB_PATH"
                    .to_owned(),
            ),
            Self::ProviderMissing { .. } => Some(
                "name the library of the Python wheel onnxruntime-gpu with --ort-lib, or use --provider cpu".to_owned(),
            ),
            Self::ProviderFailed { .. } => Some(
                "check that the driver and the CUDA, cuDNN or TensorRT libraries are installed and on the library path, \
                 or use --provider cpu"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

fn paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn lines(items: &[String]) -> String {
    items.iter().fold(String::new(), |text, item| text + "\n  - " + item)
}
