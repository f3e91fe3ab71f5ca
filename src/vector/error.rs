//! What can go wrong with a vector file.

use std::path::{Path, PathBuf};

/// A vector file that cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VectorError {
    /// GDAL was built without the driver.
    #[error("this build of GDAL has no driver {driver}")]
    DriverMissing {
        /// Name of the driver.
        driver: &'static str,
    },
    /// The format has no room for features without an outline.
    #[error("{}: FlatGeobuf holds features with a place only, and some have none", path.display())]
    Unplaced {
        /// The file.
        path: PathBuf,
    },
    /// The library below cannot write the file.
    #[error("{}: cannot be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the library says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Not everything that was written can be read back.
    #[error("{}: {expected} features were written, {found} can be read back", path.display())]
    Incomplete {
        /// The file.
        path: PathBuf,
        /// Features that were written.
        expected: usize,
        /// Features that are there.
        found: usize,
    },
}

impl VectorError {
    /// A failure of the library below.
    pub(super) fn write(path: &Path, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Write { path: path.to_path_buf(), source: Box::new(source) }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::DriverMissing { .. } => {
                "name a .geojson, .geojsonl, .csv or .parquet file, or install a GDAL with the driver; \
                 `rsmoe doctor` lists what is there"
                    .to_owned()
            }
            Self::Unplaced { .. } => {
                "name a .gpkg, .parquet, .geojson, .geojsonl or .csv file; `rsmoe convert` writes there what is done already".to_owned()
            }
            Self::Write { .. } | Self::Incomplete { .. } => {
                "make room on the disk and repeat the command: what is done is kept".to_owned()
            }
        })
    }
}
