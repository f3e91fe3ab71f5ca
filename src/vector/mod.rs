//! Vector files that a geographic information system reads: a layer of polygons with typed fields.
//!
//! [`write()`] makes a file from a layer's description and its features, one after the other; memory hardly depends on
//! their number (GDAL keeps the index of a `FlatGeobuf` until it is closed). Only `ogr.rs` names GDAL, only
//! `geoparquet.rs` Parquet. What is written depends on the description and the features alone, not on the time.

mod error;
mod geoparquet;
mod layer;
mod ogr;
mod outline;

use std::path::Path;

pub use error::VectorError;
pub use layer::{Feature, Field, FieldKind, Layer, Shape, Style, Value};
pub use outline::{Bounds, Outline};

/// Kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VectorFormat {
    /// OGC `GeoPackage`, with a default style.
    GeoPackage,
    /// `FlatGeobuf`, with a spatial index. It holds features with an outline only.
    FlatGeobuf,
    /// `GeoParquet` 1.1: geometry as well-known binary, with a bounding box for each row.
    GeoParquet,
}

impl VectorFormat {
    /// The GDAL driver that writes it, if one does.
    fn driver(self) -> Option<&'static str> {
        match self {
            Self::GeoPackage => Some(ogr::GEOPACKAGE),
            Self::FlatGeobuf => Some(ogr::FLATGEOBUF),
            Self::GeoParquet => None,
        }
    }

    /// The extension that the file must have: its driver insists.
    pub fn extension(self) -> &'static str {
        match self {
            Self::GeoPackage => "gpkg",
            Self::FlatGeobuf => "fgb",
            Self::GeoParquet => "parquet",
        }
    }

    /// Checks that the format can hold features of which not all are placed, in the file that is to be written.
    /// GDAL's `FlatGeobuf` driver leaves them out, and does not say so.
    ///
    /// # Errors
    /// [`VectorError::Unplaced`].
    pub fn check_placed(self, path: &Path, is_placed: bool) -> Result<(), VectorError> {
        if self == Self::FlatGeobuf && !is_placed {
            return Err(VectorError::Unplaced { path: path.to_path_buf() });
        }
        Ok(())
    }

    /// Checks that this build of GDAL can write the format.
    ///
    /// # Errors
    /// [`VectorError::DriverMissing`].
    pub fn check_available(self) -> Result<(), VectorError> {
        self.driver().map_or(Ok(()), ogr::check_driver)
    }
}

/// The formats that can be written here: GDAL's by the names of their drivers.
pub fn format_names() -> Vec<&'static str> {
    let drivers =
        [ogr::GEOPACKAGE, ogr::FLATGEOBUF].into_iter().filter(|name| ogr::check_driver(name).is_ok());
    drivers.chain(["GeoParquet"]).collect()
}

/// Writes a new file. It is read back where the library below does not tell whether all of it reached the disk.
///
/// The file must have the extension of its format; one that is there is replaced. What the features' iterator fails
/// with ends the writing, and leaves an unfinished file.
///
/// # Errors
/// [`VectorError`], or what the features fail with.
pub fn write<E: From<VectorError>>(
    path: &Path,
    format: VectorFormat,
    layer: &Layer,
    features: impl Iterator<Item = Result<Feature, E>>,
) -> Result<(), E> {
    match format.driver() {
        Some(driver) => ogr::write(path, driver, layer, features),
        None => geoparquet::write(path, layer, features),
    }
}
