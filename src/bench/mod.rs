//! Speed on this machine: the fixed work of `benches/work.yaml`, or what a user gets.
//!
//! Two situations: one image at a time from a file to its text, and a scene of many tiles from a raster to an output file.
//! Both go the way that `rsmoe caption` and `rsmoe scene` go; nothing is taken out. Pictures are made in code. Every figure
//! is the median over the repeats, after one that is not counted.

mod error;
mod machine;
mod one;
mod report;
mod sample;
mod scene;
mod synthetic;
mod work;

use std::num::NonZeroUsize;
use std::time::Instant;

use tempfile::TempDir;

pub use error::BenchError;
pub use report::{BenchReport, Cost, Lengths, Machine, OneImage, Scene, Share, Spread, Work};
pub use work::WorkFile;

use crate::engine::{CaptionRequest, Engine, EngineOptions};
use crate::expert::MemoryLimit;
use crate::manifest::{Manifest, RouterSpec};
use crate::runtime::ExecutionProvider;
use crate::scene::EngineDescriber;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Situation {
    /// One image at a time.
    One,
    /// A scene.
    Scene,
    /// One after the other.
    Both,
}

/// How to measure.
#[derive(Debug, Clone)]
pub struct BenchOptions {
    /// The package and how it runs.
    pub engine: EngineOptions,
    /// What is measured.
    pub situation: Situation,
    /// Fixed lengths, or what a user gets.
    pub lengths: Lengths,
    /// Measured repeats.
    pub repeats: NonZeroUsize,
    /// Tiles on a side of the scene; none: as the fixed work has it.
    pub scene_side: Option<NonZeroUsize>,
}

/// Loads the package and measures; `observe` is told what is done next.
///
/// # Errors
/// [`BenchError`].
pub fn run(options: &BenchOptions, observe: &mut dyn FnMut(&str)) -> Result<BenchReport, BenchError> {
    let work = WorkFile::built_in();
    let directory = temporary_directory()?;
    let started = Instant::now();
    observe("loading the package");
    let mut engine = Engine::load(&options.engine)?;
    let load_ms = milliseconds_since(started);
    let request = CaptionRequest {
        work: (options.lengths == Lengths::Fixed).then(|| work.fixed()),
        ..CaptionRequest::default()
    };
    // This is the repeat that is not counted, too.
    one::describe(&mut engine, &request, directory.path(), 0)?;
    let first_caption_ms = milliseconds_since(started);
    let mut report = opening(&engine, options, (load_ms, first_caption_ms));
    let tiles_per_batch = engine.images_per_batch();
    let mut images = Vec::new();
    if options.situation != Situation::Scene {
        observe("one image at a time");
        for seed in 1..=options.repeats.get() as u64 {
            images.push(one::describe(&mut engine, &request, directory.path(), seed)?);
        }
    }
    let mut scenes = Vec::new();
    if options.situation != Situation::One {
        let side = options.scene_side.map_or_else(|| work.scene_side(), NonZeroUsize::get);
        let tiles = side * side;
        observe(&format!("a scene of {tiles} tiles"));
        let mut describer = EngineDescriber::new(engine, request, Vec::new());
        let raster = scene::write(&describer, directory.path(), side)?;
        scene::describe(&mut describer, &raster, tiles)?;
        for _ in 0..options.repeats.get() {
            scenes.push(scene::describe(&mut describer, &raster, tiles)?);
        }
    }
    report.peak_rss_mib = machine::peak_rss_mib();
    report.reader_peak_rss_mib = machine::reader_peak_rss_mib();
    observe("memory bandwidth");
    let bandwidth = machine::bandwidth(report.threads, options.repeats.get());
    report.memory_gb_per_s = bandwidth.times(1e-9);
    let is_on_host = report.provider == ExecutionProvider::Cpu.name();
    let bytes_per_s = is_on_host.then_some(bandwidth.median);
    report.one = (!images.is_empty()).then(|| one::summary(&images, bytes_per_s));
    report.scene = (!scenes.is_empty()).then(|| scene::summary(&scenes, tiles_per_batch, bytes_per_s));
    Ok(report)
}

fn temporary_directory() -> Result<TempDir, BenchError> {
    tempfile::Builder::new()
        .prefix("rsmoe-bench-")
        .tempdir()
        .map_err(|source| BenchError::Unwritable { directory: std::env::temp_dir(), source })
}

fn milliseconds_since(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e3
}

/// The report with what is known before anything is repeated.
fn opening(engine: &Engine, options: &BenchOptions, (load_ms, first_caption_ms): (f64, f64)) -> BenchReport {
    BenchReport {
        rsmoe: env!("CARGO_PKG_VERSION").to_owned(),
        model: engine.model_id().to_owned(),
        variant: engine.variant().to_string(),
        provider: engine.provider().to_owned(),
        threads: engine.threads(),
        memory_limit_bytes: options.engine.memory_limit.map(MemoryLimit::bytes),
        machine: machine::describe(),
        work: work_of(engine, engine.manifest(), options.lengths),
        repeats: options.repeats.get(),
        load_ms,
        first_caption_ms,
        peak_rss_mib: None,
        reader_peak_rss_mib: None,
        memory_gb_per_s: Spread::of([]),
        one: None,
        scene: None,
    }
}

fn work_of(engine: &Engine, manifest: &Manifest, lengths: Lengths) -> Work {
    let router = match manifest.router {
        RouterSpec::Generative { .. } => "generative",
        RouterSpec::Fixed => "fixed",
    };
    let size = engine.input_size();
    Work {
        lengths,
        image_tokens: manifest.connector.image_tokens(),
        experts: manifest.experts.list.len(),
        router: router.to_owned(),
        picture_width: size.width,
        picture_height: size.height,
    }
}
