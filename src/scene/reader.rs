//! Reading ahead of the describer: windows become pictures in a thread of their own.

use std::path::Path;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use super::record::rounded;
use super::{RunFacts, SceneError};
use crate::geo::{Size, Window};
use crate::image::PixelImage;
use crate::raster::{Raster, RasterError, ReadRequest, Resampling};

/// A batch of tiles, read.
#[derive(Debug)]
pub(super) struct ReadBatch {
    /// Number of the batch.
    pub(super) number: usize,
    /// Its tiles, in order.
    pub(super) tiles: Vec<ReadTile>,
}

/// A tile, read.
#[derive(Debug)]
pub(super) struct ReadTile {
    pub(super) index: usize,
    pub(super) window: Window,
    pub(super) valid_fraction: Option<f64>,
    pub(super) gsd_m: Option<f64>,
    pub(super) geometry: Option<serde_json::Value>,
    pub(super) content: Content,
}

impl ReadTile {
    /// The picture to describe, if there is one.
    pub(super) fn picture(&self) -> Option<&PixelImage> {
        match &self.content {
            Content::Picture(image) => Some(image),
            Content::Skipped { .. } | Content::Failed { .. } => None,
        }
    }
}

/// What there is to describe.
#[derive(Debug)]
pub(super) enum Content {
    Picture(PixelImage),
    Skipped { reason: String },
    Failed { reason: String },
}

/// Reads the batches in order and hands them on, waiting when the queue is full. Ends when the receiver is gone. Gives the
/// time that reading took, without the waiting.
///
/// # Errors
/// [`RasterError`] if the scene cannot be opened. A tile that cannot be read is handed on as failed.
pub(super) fn read_batches(
    path: &Path,
    facts: &RunFacts,
    input: Size,
    batches: impl Iterator<Item = usize>,
    queue: &SyncSender<ReadBatch>,
) -> Result<Duration, SceneError> {
    let mut started = Instant::now();
    let mut reading = Duration::ZERO;
    let raster = Raster::open(path)?.with_nodata(facts.nodata);
    for number in batches {
        let batch = read_batch(&raster, facts, input, number);
        reading += started.elapsed();
        if queue.send(batch).is_err() {
            break;
        }
        started = Instant::now();
    }
    Ok(reading)
}

/// Reads the tiles of a batch.
pub(super) fn read_batch(raster: &Raster, facts: &RunFacts, input: Size, number: usize) -> ReadBatch {
    let windows = facts.tiles_of(number).filter_map(|index| Some((index, facts.grid.window(index)?)));
    let tiles = windows.map(|(index, window)| read_tile(raster, facts, input, index, window)).collect();
    ReadBatch { number, tiles }
}

fn read_tile(raster: &Raster, facts: &RunFacts, input: Size, index: usize, window: Window) -> ReadTile {
    let (valid_fraction, content) = if raster.is_absent(window, facts.bands) {
        (Some(0.0), Content::Skipped { reason: "the file has no data here".to_owned() })
    } else {
        read_content(raster, facts, input, window)
    };
    ReadTile {
        index,
        window,
        valid_fraction,
        gsd_m: raster.ground_sample_distance_m(window).map(rounded),
        geometry: raster.footprint(window).map(|footprint| footprint.to_geojson()),
        content,
    }
}

/// The share of valid pixels, if it can be read, and what there is to describe.
fn read_content(raster: &Raster, facts: &RunFacts, input: Size, window: Window) -> (Option<f64>, Content) {
    let request = ReadRequest { window, size: input, bands: facts.bands, resampling: Resampling::Bilinear };
    match raster.read_window(&request) {
        Ok(tile) => {
            let valid = tile.valid_fraction();
            let content = if valid == 0.0 {
                Content::Skipped { reason: "no valid pixel".to_owned() }
            } else if valid < facts.min_valid {
                Content::Skipped { reason: format!("valid fraction {valid:.4} is below {}", facts.min_valid) }
            } else {
                Content::Picture(facts.stretch.apply(&tile))
            };
            (Some(rounded(valid)), content)
        }
        Err(error) => (None, Content::Failed { reason: reason(&error) }),
    }
}

/// The cause alone: the record names file and window already.
fn reason(error: &RasterError) -> String {
    match error {
        RasterError::Read { source, .. } => format!("cannot be read: {source}"),
        RasterError::ReaderCrashed { ended, .. } => format!("reading it crashed the reader ({ended})"),
        RasterError::ReaderHung { seconds, .. } => format!("reading did not end within {seconds} s"),
        other => other.to_string(),
    }
}
