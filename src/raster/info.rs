//! What a raster says about itself.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Acquisition, BandIndex};
use crate::geo::{GeoTransform, Size};

/// The facts of an opened raster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RasterInfo {
    /// The file.
    pub path: PathBuf,
    /// Short name of GDAL's driver, such as `GTiff`.
    pub driver: String,
    /// Pixels at full resolution.
    pub size: Size,
    /// True if there are overviews, so that decimated reads are quick.
    pub has_overviews: bool,
    /// Bands in order; never empty.
    pub bands: Vec<BandInfo>,
    /// Coordinate reference system as `EPSG:32621`, or its name where it has no code; `None` if the file has none.
    pub crs: Option<String>,
    /// How pixels become map coordinates.
    pub georeference: Georeference,
    /// What the file says about itself in words, by name (GDAL's default metadata domain).
    pub tags: BTreeMap<String, String>,
    /// Other rasters in the same file, by the names that open them; empty if this is the only one.
    pub subdatasets: Vec<String>,
    /// Whom to credit for the imagery, as the file says (`TIFFTAG_COPYRIGHT`).
    pub credit: Option<String>,
    /// When it was taken, as the file says: by the first of a few metadata items of satellites, NITF, ENVI and TIFF.
    pub acquired: Option<Acquisition>,
}

/// The facts of one band.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BandInfo {
    /// Position in the file, 1-based.
    pub index: BandIndex,
    /// Type of the stored samples.
    pub sample_type: SampleType,
    /// What the band shows.
    pub role: ColorRole,
    /// The value that means "no data".
    pub nodata: Option<f64>,
    /// From stored values to what they measure; `None` if stored values are what there is.
    pub calibration: Option<Calibration>,
    /// The band's own name; empty if it has none.
    pub description: String,
}

/// What stored values measure: `value x scale + offset`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Change of the measured quantity from one stored value to the next; never 0.
    pub scale: f64,
    /// What a stored value of 0 measures.
    pub offset: f64,
}

impl Calibration {
    /// The stored value of a measured one.
    pub fn stored(self, measured: f64) -> f32 {
        ((measured - self.offset) / self.scale) as f32
    }
}

/// Type of a stored sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SampleType {
    /// 8-bit unsigned integer: already in display range.
    U8,
    /// 8-bit signed integer.
    I8,
    /// Any other integer, of 16 to 64 bits.
    Integer,
    /// A floating point number.
    Float,
    /// A complex number (radar): has no picture.
    Complex,
}

/// What a band shows, as far as the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ColorRole {
    /// Red.
    Red,
    /// Green.
    Green,
    /// Blue.
    Blue,
    /// Opacity: a mask, never a colour.
    Alpha,
    /// Grey values.
    Gray,
    /// Indexes into a colour table.
    Palette,
    /// Something else, or not said.
    Other,
}

impl ColorRole {
    /// The name of a colour; `None` for what is none.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Red => Some("red"),
            Self::Green => Some("green"),
            Self::Blue => Some("blue"),
            Self::Gray => Some("gray"),
            Self::Alpha => Some("alpha"),
            Self::Palette | Self::Other => None,
        }
    }
}

/// How a raster lies on the globe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Georeference {
    /// An affine transform and a coordinate reference system.
    Affine(GeoTransform),
    /// Ground control points only: the best fit through them, so places are approximate.
    ControlPoints,
    /// The rational polynomials of a camera only, at the mean height of the terrain, so places are approximate.
    RationalPolynomials,
    /// None that leads to WGS84.
    Missing {
        /// Why not.
        reason: String,
    },
}

impl Georeference {
    /// The transform from pixels to the raster's coordinate reference system.
    pub fn transform(&self) -> Option<GeoTransform> {
        match self {
            Self::Affine(transform) => Some(*transform),
            Self::ControlPoints | Self::RationalPolynomials | Self::Missing { .. } => None,
        }
    }

    /// `affine`, `gcp`, `rpc` or `none`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Affine(_) => "affine",
            Self::ControlPoints => "gcp",
            Self::RationalPolynomials => "rpc",
            Self::Missing { .. } => "none",
        }
    }
}
