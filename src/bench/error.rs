//! What can keep speed from being measured.

use crate::error::{Error, ErrorKind};
use crate::raster::RasterError;
use crate::scene::SceneError;

/// A measurement that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The engine cannot be loaded or cannot do the work.
    #[error(transparent)]
    Engine {
        /// Why.
        #[from]
        source: Error,
    },
    /// The scene cannot be run.
    #[error(transparent)]
    Scene {
        /// Why.
        #[from]
        source: SceneError,
    },
    /// Tiles of the scene have no caption, so that their time says nothing.
    #[error("{captioned} of {tiles} tiles of the scene were captioned{}", first_failure.as_ref().map(|text| format!("; {text}")).unwrap_or_default())]
    Tiles {
        /// Tiles of the scene.
        tiles: usize,
        /// Tiles with a caption.
        captioned: usize,
        /// Why the first one failed.
        first_failure: Option<String>,
    },
    /// The pictures to work on cannot be written.
    #[error("the pictures to work on cannot be written to {}", directory.display())]
    Unwritable {
        /// The directory for temporary files.
        directory: std::path::PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
}

impl From<RasterError> for BenchError {
    fn from(source: RasterError) -> Self {
        Self::Engine { source: source.into() }
    }
}

impl BenchError {
    /// What the error means to a caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Engine { source } => source.kind(),
            Self::Scene { source } => source.kind(),
            Self::Tiles { .. } => ErrorKind::Internal,
            Self::Unwritable { .. } => ErrorKind::Usage,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Engine { source } => source.hint(),
            Self::Scene { source } => source.hint(),
            Self::Tiles { .. } => None,
            Self::Unwritable { .. } => {
                Some("set TMPDIR to a directory that may be written to, with some megabytes free".to_owned())
            }
        }
    }
}
