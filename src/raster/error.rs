//! What can go wrong with a raster.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{BandIndex, wire};
use crate::geo::{Size, Window};

/// A cause from a library below.
pub(super) type Source = Box<dyn std::error::Error + Send + Sync>;

/// A raster that cannot be opened or read.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RasterError {
    /// There is no such file, or it may not be read.
    #[error("{}: cannot be opened", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        #[serde(with = "wire::io_error")]
        source: std::io::Error,
    },
    /// The path leads to something else than a file.
    #[error("{}: expected a file, found a directory", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// No driver recognises the content, or the file is damaged.
    #[error("{}: not a raster that can be read", path.display())]
    NotARaster {
        /// The file.
        path: PathBuf,
        /// What GDAL says.
        #[serde(with = "wire::source")]
        source: Source,
    },
    /// The file is a container of rasters.
    #[error("{}: holds {} rasters: {}", path.display(), names.len(), names.join(", "))]
    Subdatasets {
        /// The file.
        path: PathBuf,
        /// The names of the rasters in it (the first ones).
        names: Vec<String>,
    },
    /// The raster reads its pixels from elsewhere than local files.
    #[error("{}: refers to {location}", path.display())]
    RemoteSource {
        /// The file.
        path: PathBuf,
        /// Where it leads.
        location: String,
    },
    /// The raster's pixels are computed by code that comes with the file.
    #[error("{}: holds program code for its pixels", path.display())]
    EmbeddedCode {
        /// The file.
        path: PathBuf,
    },
    /// There is no band that could be shown.
    #[error("{}: has no bands that can be shown", path.display())]
    NoBands {
        /// The file.
        path: PathBuf,
    },
    /// More pixels than any scene has.
    #[error("{}: {size} px: expected at most {limit} px in all and {side} px a side", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        size: Size,
        /// Most pixels.
        limit: u64,
        /// Longest side.
        side: usize,
    },
    /// A picture whose format can only be decoded from the top, and which has too many pixels for that.
    #[error("{}: {size} px as {driver}, which is decoded from the top for every part: expected at most {limit} px", path.display())]
    Sequential {
        /// The file.
        path: PathBuf,
        /// Its format.
        driver: String,
        /// Its size.
        size: Size,
        /// Most pixels.
        limit: u64,
    },
    /// Reading one pixel would take too much memory.
    #[error("{}: one block takes {bytes} bytes to read: expected at most {limit}", path.display())]
    BlockTooLarge {
        /// The file.
        path: PathBuf,
        /// Memory for one block of all bands.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A number of requested bands that makes no picture.
    #[error("{found} bands: expected 1 or 3")]
    BandCount {
        /// How many were asked for.
        found: usize,
    },
    /// A requested band does not exist.
    #[error("{}: band {band}: expected 1 to {count}", path.display())]
    BandMissing {
        /// The file.
        path: PathBuf,
        /// The band that was asked for.
        band: BandIndex,
        /// How many there are.
        count: usize,
    },
    /// A name that no band has, or more than one.
    #[error(
        "{}: band {name:?}: {}, of {}", path.display(),
        if *matches == 0 { "no band has this name".to_owned() } else { format!("{matches} bands have this name") },
        bands.join(", ")
    )]
    BandNameUnknown {
        /// The file.
        path: PathBuf,
        /// The name that was asked for.
        name: String,
        /// How many bands have it.
        matches: usize,
        /// Number and name of each band.
        bands: Vec<String>,
    },
    /// A preset of a sensor that does not fit.
    #[error("{}: preset {preset}: expected {expected}", path.display())]
    PresetMismatch {
        /// The file.
        path: PathBuf,
        /// The preset that was asked for.
        preset: String,
        /// What its products have.
        expected: String,
    },
    /// A stretch of another number of bands.
    #[error("{}: a stretch of {found} bands: expected one of {expected}", path.display())]
    StretchBands {
        /// The file.
        path: PathBuf,
        /// Bands of the stretch.
        found: usize,
        /// Bands of the picture.
        expected: usize,
    },
    /// Nothing tells which bands are red, green and blue.
    #[error("{}: which of its {} bands are red, green and blue: {}", path.display(), bands.len(), bands.join(", "))]
    BandChoice {
        /// The file.
        path: PathBuf,
        /// Number and name of each band.
        bands: Vec<String>,
    },
    /// Complex samples have no picture.
    #[error("{}: band {band}: expected real samples, found complex ones", path.display())]
    ComplexSamples {
        /// The file.
        path: PathBuf,
        /// The band.
        band: BandIndex,
    },
    /// The window is empty or not inside the raster.
    #[error("{}: window ({window}): expected a part of the raster of {size} px", path.display())]
    WindowOutside {
        /// The file.
        path: PathBuf,
        /// The window.
        window: Window,
        /// Size of the raster.
        size: Size,
    },
    /// A plain picture is damaged.
    #[error("{}: the picture cannot be decoded", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// What the decoder says.
        #[serde(with = "wire::source")]
        source: Source,
    },
    /// A plain picture has more pixels than may be decoded at once.
    #[error("{}: {size} px: expected at most {limit} px", path.display())]
    PictureTooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        size: Size,
        /// Most pixels.
        limit: u64,
    },
    /// Nothing but nodata.
    #[error("{}: has no valid pixel", path.display())]
    NothingValid {
        /// The file.
        path: PathBuf,
    },
    /// The pixels of a window cannot be read.
    #[error("{}: window ({window}) cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The window.
        window: Window,
        /// What GDAL says.
        #[serde(with = "wire::source")]
        source: Source,
    },
    /// The process that reads rasters crashed, and so did the next one, over the same request.
    #[error("{}: reading it crashed the reader ({ended})", path.display())]
    ReaderCrashed {
        /// The file.
        path: PathBuf,
        /// How the process ended.
        ended: String,
    },
    /// Reading took longer than it may; the process that read is gone.
    #[error("{}: reading did not end within {seconds} s", path.display())]
    ReaderHung {
        /// The file.
        path: PathBuf,
        /// How long it was waited for.
        seconds: f64,
    },
    /// Reading was given up, since the run is to end.
    #[error("{}: reading was interrupted", path.display())]
    Interrupted {
        /// The file.
        path: PathBuf,
    },
    /// The process that reads rasters does not start, or does not answer as it should.
    #[error("{}: the reader {} cannot be used", path.display(), program.display())]
    ReaderUnusable {
        /// The file that was to be read.
        path: PathBuf,
        /// The program.
        program: PathBuf,
        /// What the operating system says.
        #[serde(with = "wire::io_error")]
        source: std::io::Error,
    },
}

impl RasterError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreadable { .. } => Some("check the path and its permissions".to_owned()),
            Self::NotAFile { .. } => Some("name one raster file".to_owned()),
            Self::NotARaster { .. } => Some(
                "`gdalinfo FILE` shows what GDAL makes of it; `rsmoe doctor` lists the drivers".to_owned(),
            ),
            Self::Subdatasets { names, .. } => names
                .first()
                .map(|name| format!("name one of them in place of the file: rsmoe scene '{name}' ...")),
            Self::RemoteSource { .. } => {
                Some("download the data first: only local files are read".to_owned())
            }
            Self::EmbeddedCode { .. } => Some(
                "compute the raster first, with GDAL_VRT_ENABLE_PYTHON=YES gdal_translate, if you trust it"
                    .to_owned(),
            ),
            Self::NoBands { path } => Some(format!("`gdalinfo {}` shows what is in it", path.display())),
            Self::Picture { .. } => Some("compare the file with its source".to_owned()),
            Self::PictureTooLarge { .. } => Some("use `rsmoe scene`, which reads it in tiles".to_owned()),
            Self::NothingValid { .. } => Some("check the nodata value with gdalinfo".to_owned()),
            Self::TooLarge { .. } => Some("cut it first, for example with gdal_translate -srcwin".to_owned()),
            Self::Sequential { path, .. } | Self::BlockTooLarge { path, .. } => Some(format!(
                "rewrite it in tiles: gdal_translate -co TILED=YES -co COMPRESS=DEFLATE {} tiled.tif",
                path.display()
            )),
            Self::BandNameUnknown { .. } => Some(
                "name three bands, or one, by number, description or colour: --bands red,green,blue"
                    .to_owned(),
            ),
            Self::PresetMismatch { .. } => Some("--preset auto or none fits every raster".to_owned()),
            Self::StretchBands { .. } => Some("reuse the stretch of a run with the same --bands".to_owned()),
            Self::BandCount { .. } | Self::BandMissing { .. } | Self::BandChoice { .. } => {
                Some("name three bands, or one, counted from 1: --bands 4,3,2".to_owned())
            }
            Self::ComplexSamples { .. } => {
                Some("compute the magnitude first, for example with a VRT pixel function `mod`".to_owned())
            }
            Self::WindowOutside { .. } => Some("choose a window inside the raster".to_owned()),
            Self::ReaderCrashed { .. } => Some(
                "the file is damaged, or GDAL's driver has a fault: compare the file with its source, or rewrite it with gdal_translate"
                    .to_owned(),
            ),
            Self::ReaderHung { .. } => Some(
                "wait longer with --read-timeout SECONDS, or rewrite the file in tiles: gdal_translate -co TILED=YES".to_owned(),
            ),
            Self::Interrupted { .. } => Some("repeat the command".to_owned()),
            Self::ReaderUnusable { .. } => {
                Some("--reader inline reads in the program itself: a crash of GDAL ends it".to_owned())
            }
            Self::Read { .. } => {
                Some("the file may be truncated or damaged: compare it with its source".to_owned())
            }
        }
    }
}
