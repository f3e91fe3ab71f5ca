//! A scene: many tiles, from a raster to an output file.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::error::BenchError;
use super::report::{Scene, Spread};
use super::sample::{Sample, cost};
use super::synthetic;
use crate::geo::Size;
use crate::scene::{
    self, CaptionStyle, EarlierRun, EngineDescriber, SceneSettings, Shard, TileDescriber as _, TileSide,
};
use crate::vision::picture::PictureOptions;

/// One run over the scene.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    sample: Sample,
    /// Time of the reading thread.
    read: Duration,
}

/// Writes a scene of `side` x `side` tiles of the model's input size, each another picture.
pub(super) fn write(
    describer: &EngineDescriber,
    directory: &Path,
    side: usize,
) -> Result<PathBuf, BenchError> {
    let input = describer.input_size();
    let size = Size { width: input.width * side, height: input.height * side };
    let path = directory.join("scene.bmp");
    synthetic::write(&path, &synthetic::picture(size, 0))
        .map_err(|source| BenchError::Unwritable { directory: directory.to_path_buf(), source })?;
    Ok(path)
}

/// Describes every tile, as `rsmoe scene` would with its defaults.
pub(super) fn describe(
    describer: &mut EngineDescriber,
    raster: &Path,
    tiles: usize,
) -> Result<Run, BenchError> {
    let settings = SceneSettings {
        raster: raster.to_path_buf(),
        out: raster.with_extension("geojson"),
        tile: TileSide::Auto,
        overlap_px: 0,
        area: None,
        picture: PictureOptions::default(),
        min_valid: 0.0,
        style: CaptionStyle::Full,
        questions: Vec::new(),
        unsure_below: 0.0,
        silent_below: 0.0,
        shard: Shard::WHOLE,
        batch: EngineDescriber::tiles_per_batch(describer.engine()),
        earlier: EarlierRun::Restart,
        datetime: None,
        overview: false,
        deadline: None,
    };
    // Every repeat is a scene that was never seen before.
    describer.forget_texts();
    let before = describer.engine().counters();
    let started = Instant::now();
    let summary = scene::run(&settings, describer, &AtomicBool::new(false), &mut |_| ())?;
    let whole = started.elapsed();
    let captioned = summary.counts.captioned;
    if captioned != tiles {
        return Err(BenchError::Tiles { tiles, captioned, first_failure: summary.first_failure });
    }
    let done = describer.engine().counters() - before;
    let sample = Sample { images: tiles, whole, reading: summary.reading.waited, done };
    Ok(Run { sample, read: summary.reading.busy })
}

/// What the repeats say.
pub(super) fn summary(runs: &[Run], tiles_per_batch: usize, bytes_per_s: Option<f64>) -> Scene {
    let samples: Vec<Sample> = runs.iter().map(|run| run.sample).collect();
    Scene {
        tiles: samples.first().map_or(0, |sample| sample.images),
        tiles_per_batch,
        tiles_per_s: Spread::of(
            samples.iter().map(|sample| sample.images as f64 / sample.whole.as_secs_f64().max(f64::EPSILON)),
        ),
        reading_thread_s: Spread::of(runs.iter().map(|run| run.read.as_secs_f64())),
        cost: cost(&samples, bytes_per_s),
    }
}
