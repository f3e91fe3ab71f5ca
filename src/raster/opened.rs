//! An opened raster, wherever it is read.

use std::cell::RefCell;
use std::path::Path;

use super::isolation::{self, Answer, IsolatedRaster, Isolation};
use super::wire::{Request, Response};
use super::{BandPlan, RasterError, RasterInfo, ReadRequest, gdal, subdataset};
use crate::geo::Window;
use crate::image::Tile;

/// An opened raster. It belongs to one thread; every reading thread opens its own.
pub struct Raster {
    place: Place,
    nodata: Option<f64>,
}

enum Place {
    Here(gdal::Raster),
    Apart { raster: RefCell<IsolatedRaster>, info: RasterInfo },
}

impl std::fmt::Debug for Raster {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Raster").field("info", self.info()).finish_non_exhaustive()
    }
}

impl Raster {
    /// Opens a local file and checks it: format, size, block size. No pixel is read. In a process of its own, if
    /// [`isolate`](super::isolate) said so.
    ///
    /// # Errors
    /// [`RasterError::Unreadable`], [`RasterError::NotAFile`], [`RasterError::NotARaster`],
    /// [`RasterError::Subdatasets`], [`RasterError::NoBands`], [`RasterError::RemoteSource`],
    /// [`RasterError::EmbeddedCode`], [`RasterError::TooLarge`], [`RasterError::BlockTooLarge`]; in a process of its own
    /// [`RasterError::ReaderCrashed`], [`RasterError::ReaderHung`], [`RasterError::ReaderUnusable`] and
    /// [`RasterError::Interrupted`] too.
    pub fn open(path: &Path) -> Result<Self, RasterError> {
        let place = match isolation::isolation() {
            Some(isolation) if path.to_str().is_some() => open_apart(path, isolation)?,
            Some(_) => {
                tracing::warn!("{}: the name is not Unicode; read without a reader process", path.display());
                Place::Here(gdal::Raster::open(path)?)
            }
            None => Place::Here(gdal::Raster::open(path)?),
        };
        Ok(Self { place, nodata: None })
    }

    /// The same raster, with pixels invalid too where all bands that are read hold this value.
    #[must_use]
    pub fn with_nodata(self, nodata: Option<f64>) -> Self {
        Self { nodata, ..self }
    }

    /// The file that holds the raster: its path, or what the name of a raster inside a file leads to.
    pub fn file(&self) -> &Path {
        subdataset::file_of(&self.info().path)
    }

    /// The facts of the raster.
    pub fn info(&self) -> &RasterInfo {
        match &self.place {
            Place::Here(raster) => raster.info(),
            Place::Apart { info, .. } => info,
        }
    }

    /// Reads a window, resampled to the size asked for, with its valid mask. A palette comes as its colours, `0..=255`.
    ///
    /// A pixel is valid if no alpha or mask band hides it, not all of its bands hold nodata, all are finite, and the file holds its block (see
    /// [`Raster::is_absent`]).
    ///
    /// # Errors
    /// [`RasterError::WindowOutside`], [`RasterError::BandMissing`], [`RasterError::Read`]; in a process of its own those of
    /// [`Raster::open`] too.
    pub fn read_window(&self, request: &ReadRequest) -> Result<Tile, RasterError> {
        match &self.place {
            Place::Here(raster) => raster.read_window(request, self.nodata),
            Place::Apart { raster, .. } => {
                match raster.borrow_mut().ask(&Request::Read(*request, self.nodata))? {
                    Answer::Tile(tile) => Ok(tile),
                    Answer::Other(Response::Tile(Err(error))) => Err(error),
                    Answer::Other(_) => Err(self.unexpected()),
                }
            }
        }
    }

    /// Longitude and latitude, in degrees on WGS84, of pixel positions (col, row); `None` without georeference or if a
    /// position cannot be projected.
    pub fn to_wgs84(&self, pixels: &[(f64, f64)]) -> Option<Vec<(f64, f64)>> {
        match &self.place {
            Place::Here(raster) => raster.to_wgs84(pixels),
            Place::Apart { raster, .. } => {
                match raster.borrow_mut().ask(&Request::ToWgs84(pixels.to_vec())) {
                    Ok(Answer::Other(Response::Places(places))) => places,
                    _ => None,
                }
            }
        }
    }

    /// True if the file has nothing at all in a window of these bands: sparse TIFF files leave out what is empty. Nothing is read for
    /// it; false where the format does not tell.
    pub fn is_absent(&self, window: Window, bands: BandPlan) -> bool {
        match &self.place {
            Place::Here(raster) => raster.is_absent(window, bands),
            Place::Apart { raster, .. } => {
                let answer = raster.borrow_mut().ask(&Request::IsAbsent(window, bands));
                matches!(answer, Ok(Answer::Other(Response::Absent(true))))
            }
        }
    }

    fn unexpected(&self) -> RasterError {
        let ended = "it does not answer as it should".to_owned();
        RasterError::ReaderCrashed { path: self.info().path.clone(), ended }
    }
}

fn open_apart(path: &Path, isolation: &'static Isolation) -> Result<Place, RasterError> {
    let mut raster = IsolatedRaster::new(path, isolation);
    match raster.ask(&Request::Open(path.to_path_buf()))? {
        Answer::Other(Response::Opened(info)) => {
            Ok(Place::Apart { raster: RefCell::new(raster), info: *info? })
        }
        _ => Err(RasterError::ReaderCrashed {
            path: path.to_path_buf(),
            ended: "it does not answer as it should".to_owned(),
        }),
    }
}
