//! Rasters: what is in a file, and windows of its pixels.
//!
//! [`Raster`] opens any local raster that GDAL reads, checks it before the first read (size, block size, data type), and
//! reads windows resampled to the size that is asked for; in a process of its own, if [`isolate`] says so. Nothing outside names GDAL to
//! read one.

mod acquisition;
mod bands;
mod blocks;
mod cache;
mod error;
mod gdal;
mod info;
mod isolation;
mod limits;
mod opened;
mod place;
mod read;
mod reference;
mod sample;
mod serve;
mod subdataset;
mod transformer;
mod wire;

pub(crate) use self::gdal::prepare;
pub use self::gdal::{driver_names, library_version};
pub use acquisition::{Acquisition, AcquisitionParseError};
pub use bands::{BandIndex, BandName, BandNameParseError, BandPlan};
pub use error::RasterError;
pub use info::{BandInfo, Calibration, ColorRole, Georeference, RasterInfo, SampleType};
pub use isolation::{Isolation, idle_readers, isolate};
pub use opened::Raster;
pub use place::PixelSize;
pub use read::{ReadRequest, Resampling};
pub use serve::serve;
pub use subdataset::file_of;
