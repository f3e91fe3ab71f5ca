//! What can stop a scene run.

use std::io;
use std::path::PathBuf;

use super::{DescribeError, PastRunError};
use crate::error::{Error, ErrorKind};
use crate::geo::{GridError, Size};
use crate::raster::RasterError;
use crate::vector::VectorError;

/// A run that cannot start or go on. A tile that fails is no such error: it is recorded, and the run goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SceneError {
    /// The scene cannot be opened, or no part of it can be read.
    #[error(transparent)]
    Raster {
        /// Why.
        source: Error,
    },
    /// Tiles cannot be laid over the scene.
    #[error(transparent)]
    Grid {
        /// Why.
        #[from]
        source: GridError,
    },
    /// More tiles than a run can record.
    #[error("{count} tiles: expected at most {limit}")]
    TooManyTiles {
        /// Tiles of the grid.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// A tile in metres for a scene whose pixels have no size on the ground.
    #[error("{}: the scene has no place on the globe, so its pixels have no size in metres", path.display())]
    TileWithoutPlace {
        /// The scene.
        path: PathBuf,
    },
    /// No tile lies in the area that was asked for.
    #[error("{}: no part of the scene ({size} px{}) lies in the area ({asked})", path.display(), extent(scene.as_ref()))]
    AreaOutside {
        /// The scene.
        path: PathBuf,
        /// What was asked for.
        asked: String,
        /// Size of the scene.
        size: Size,
        /// West, south, east and north of the scene, degrees, if it has a place.
        scene: Option<[f64; 4]>,
    },
    /// An area on the globe for a scene that has no place there.
    #[error("{}: the scene has no place on the globe, so no area of the globe can be found in it", path.display())]
    AreaWithoutPlace {
        /// The scene.
        path: PathBuf,
    },
    /// The output's extension names no format that can be written.
    #[error("{}: {}", path.display(), extension_fault(extension))]
    OutputFormat {
        /// The output file.
        path: PathBuf,
        /// Its extension.
        extension: String,
    },
    /// Nobody says when the scene was taken, and the output needs it.
    #[error("{}: neither its scene nor the command says when the scene was taken", path.display())]
    NoAcquisitionTime {
        /// The output of the run.
        path: PathBuf,
    },
    /// The output is there, but not from a run that could be resumed.
    #[error("{}: the file exists and has no journal", path.display())]
    OutputExists {
        /// The output file.
        path: PathBuf,
    },
    /// The output cannot be written in its format.
    #[error(transparent)]
    Vector {
        /// Why.
        #[from]
        source: VectorError,
    },
    /// A past run cannot be merged or converted.
    #[error(transparent)]
    Past {
        /// Why.
        #[from]
        source: PastRunError,
    },
    /// Output or journal cannot be written.
    #[error("{}: cannot be written", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The journal beside the output is something else.
    #[error("{}: not a journal of this program", path.display())]
    NotAJournal {
        /// The journal.
        path: PathBuf,
    },
    /// The journal cannot be read back.
    #[error("{}: cannot be read", path.display())]
    JournalUnreadable {
        /// The journal.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The journal belongs to a run with other settings.
    #[error("{}: begun with other settings: {}", path.display(), differences.join("; "))]
    OtherSettings {
        /// The journal.
        path: PathBuf,
        /// Setting, value of the journal, value of this run.
        differences: Vec<String>,
    },
    /// Another run writes the same output.
    #[error("{}: in use by another run", path.display())]
    Busy {
        /// The journal.
        path: PathBuf,
    },
    /// The engine describes nothing at all.
    #[error("batch {batch} cannot be described")]
    Describe {
        /// Number of the batch, from 0.
        batch: usize,
        /// What the engine says.
        source: DescribeError,
    },
    /// The engine does not describe the overview.
    #[error("the overview of the scene cannot be described")]
    Overview {
        /// What the engine says.
        source: DescribeError,
    },
    /// The reading thread is gone.
    #[error("the thread that reads tiles has stopped")]
    ReaderStopped,
}

/// What is wrong with the extension of an output.
fn extension_fault(extension: &str) -> String {
    if extension.is_empty() {
        "the name has no extension, which tells the format".to_owned()
    } else {
        format!("no output format has the extension {extension:?}")
    }
}

/// Where a scene lies, for an error about it.
fn extent(scene: Option<&[f64; 4]>) -> String {
    scene.map_or_else(String::new, |[west, south, east, north]| {
        format!(", {west:.4},{south:.4},{east:.4},{north:.4} degrees")
    })
}

impl From<RasterError> for SceneError {
    fn from(source: RasterError) -> Self {
        Self::Raster { source: source.into() }
    }
}

impl SceneError {
    /// What the error means to a caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Raster { source } => source.kind(),
            Self::Grid { source } => match source {
                GridError::EmptyScene { .. } => ErrorKind::InvalidInput,
                _ => ErrorKind::Usage,
            },
            Self::Past { source } if source.is_about_input() => ErrorKind::InvalidInput,
            Self::Unwritable { source, .. } if is_out_of_room(source) => ErrorKind::Interrupted,
            // That the place may be written to was checked before the work.
            Self::Vector { source: VectorError::Write { .. } | VectorError::Incomplete { .. } } => {
                ErrorKind::Interrupted
            }
            Self::TooManyTiles { .. }
            | Self::TileWithoutPlace { .. }
            | Self::AreaOutside { .. }
            | Self::AreaWithoutPlace { .. }
            | Self::OutputFormat { .. }
            | Self::NoAcquisitionTime { .. }
            | Self::OutputExists { .. }
            | Self::Vector { .. }
            | Self::Past { .. }
            | Self::Unwritable { .. }
            | Self::NotAJournal { .. }
            | Self::JournalUnreadable { .. }
            | Self::OtherSettings { .. }
            | Self::Busy { .. } => ErrorKind::Usage,
            Self::Describe { source, .. } | Self::Overview { source } => {
                source.downcast_ref::<Error>().map_or(ErrorKind::Internal, Error::kind)
            }
            Self::ReaderStopped => ErrorKind::Internal,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Raster { source } => source.hint(),
            Self::Grid { .. } => Some("choose --overlap smaller than --tile-size".to_owned()),
            Self::TooManyTiles { .. } => {
                Some("choose a larger --tile-size or a smaller --overlap".to_owned())
            }
            Self::OutputFormat { path, .. } if crate::stac::is_stac(path) => Some(
                "an item describes captions: write them first, then `rsmoe convert CAPTIONS --out ITEM.stac.json`".to_owned(),
            ),
            Self::TileWithoutPlace { .. } => {
                Some("name the size in pixels, for example --tile-size 512".to_owned())
            }
            Self::AreaOutside { scene: Some(_), .. } => {
                Some("--bbox takes WEST,SOUTH,EAST,NORTH in degrees; longitude comes first".to_owned())
            }
            Self::AreaOutside { .. } | Self::AreaWithoutPlace { .. } => {
                Some("name the area in pixels: --srcwin COL,ROW,WIDTH,HEIGHT".to_owned())
            }
            Self::OutputFormat { .. } => {
                Some("name a file that ends in .geojson, .geojsonl, .gpkg, .fgb, .parquet or .csv".to_owned())
            }
            Self::NoAcquisitionTime { .. } => {
                Some("say when the scene was taken, for example --datetime 2026-08-01T10:20:30Z, to `rsmoe scene` or `rsmoe convert`".to_owned())
            }
            Self::OutputExists { .. } => Some("name another file, or --restart to replace it".to_owned()),
            Self::Vector { source } => source.hint(),
            Self::Past { source } => source.hint(),
            Self::Unwritable { source, .. } if is_out_of_room(source) => Some(
                "what is done is kept: make room for the output and its journal, and repeat the command: it resumes".to_owned(),
            ),
            Self::Unwritable { .. } => {
                Some("name a file in a directory that exists and may be written to".to_owned())
            }
            Self::NotAJournal { .. } | Self::JournalUnreadable { .. } => {
                Some("name another output, or --restart to replace it".to_owned())
            }
            Self::OtherSettings { .. } => Some(
                "repeat the earlier command to resume, name another output, or --restart to begin again"
                    .to_owned(),
            ),
            Self::Busy { .. } => Some("wait for it, or name another output".to_owned()),
            Self::Describe { source, .. } | Self::Overview { source } => {
                source.downcast_ref::<Error>().and_then(Error::hint)
            }
            Self::ReaderStopped => None,
        }
    }
}

/// True if there is no room for what was to be written: with more of it, the same command goes on.
fn is_out_of_room(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
