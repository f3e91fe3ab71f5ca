//! Rasters: what is in a file, and windows of its pixels.
//!
//! [`Raster`] opens any local raster that GDAL reads, checks it before the first read (size, block size, data type), and
//! reads windows resampled to the size that is asked for. Nothing outside names
//! GDAL to read one.

mod bands;
mod error;
mod gdal;
mod info;
mod limits;
mod place;
mod read;
mod reference;
mod sample;
mod subdataset;
mod transformer;

pub(crate) use self::gdal::prepare;
pub use self::gdal::{Raster, driver_names, library_version};
pub use bands::{BandIndex, BandName, BandNameParseError, BandPlan};
pub use error::RasterError;
pub use info::{BandInfo, Calibration, ColorRole, Georeference, RasterInfo, SampleType};
pub use place::PixelSize;
pub use read::{ReadRequest, Resampling};
pub use subdataset::file_of;
