//! What can keep a report from being written.

use std::path::PathBuf;

use crate::error::{Error, ErrorKind};

/// A report that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The scene's output cannot be read.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The file is no output of a scene run.
    #[error("{}: expected the output of `rsmoe scene` (.geojson or .geojsonl): {problem}", path.display())]
    NotAScene {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The scene that was named cannot be drawn.
    #[error(transparent)]
    Raster {
        /// Why.
        source: Error,
    },
    /// The page cannot be written.
    #[error("{}: cannot be written", path.display())]
    Unwritable {
        /// The page.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
}

impl ReportError {
    /// What the error means to a caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreadable { .. } | Self::NotAScene { .. } => ErrorKind::InvalidInput,
            Self::Raster { source } => source.kind(),
            Self::Unwritable { .. } => ErrorKind::Usage,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreadable { .. } => {
                Some("check the path; `rsmoe scene RASTER --out FILE` writes such a file".to_owned())
            }
            Self::NotAScene { .. } => Some(
                "name a file that `rsmoe scene` wrote; `rsmoe convert FILE --out OTHER.geojson` makes one of other formats"
                    .to_owned(),
            ),
            Self::Raster { source } => source.hint(),
            Self::Unwritable { .. } => {
                Some("name a file in a directory that exists and may be written to".to_owned())
            }
        }
    }
}
