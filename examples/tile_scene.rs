//! Captions a scene tile by tile, from Rust.
//!
//! ```sh
//! cargo run --release --example tile_scene -- models/rsmoe-mini examples/data/itaipu_landsat8.tif captions.geojson
//! ```

#![expect(clippy::print_stderr, reason = "an example talks to its user")]

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use rsmoe::scene::{
    CaptionStyle, EarlierRun, EngineDescriber, SceneEvent, SceneSettings, Shard, TileSide, run,
};
use rsmoe::vision::picture::PictureOptions;
use rsmoe::{CaptionRequest, Engine, EngineOptions, Question};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut paths = std::env::args().skip(1).map(PathBuf::from);
    let (Some(model), Some(raster), Some(out)) = (paths.next(), paths.next(), paths.next()) else {
        return Err("expected MODEL RASTER OUT.geojson".into());
    };

    // What is asked about every tile: a caption and one question. Both share the tile's encoding and prefix.
    let question = "Is there water?";
    let engine = Engine::load(&EngineOptions::new(model))?;
    let batch = NonZeroUsize::new(engine.images_per_batch()).unwrap_or(NonZeroUsize::MIN);
    let (unsure_below, silent_below) = (engine.unsure_below(), engine.silent_below());
    let mut describer =
        EngineDescriber::new(engine, CaptionRequest::default(), vec![Question::new(question)]);

    let settings = SceneSettings {
        raster,
        out,
        tile: TileSide::Auto,
        overlap_px: 0,
        area: None,
        picture: PictureOptions::default(),
        min_valid: 0.25,
        style: CaptionStyle::Full,
        questions: vec![question.to_owned()],
        unsure_below,
        silent_below,
        shard: Shard::WHOLE,
        batch,
        earlier: EarlierRun::Resume,
        datetime: None,
        overview: false,
        deadline: None,
    };

    // Set from a signal handler or another thread, the flag stops the run after the current batch; it resumes later.
    let cancel = AtomicBool::new(false);
    let summary = run(&settings, &mut describer, &cancel, &mut |event| {
        if let SceneEvent::BatchDone { progress } = event {
            eprintln!("{} of {} tiles", progress.done, progress.total);
        }
    })?;
    eprintln!("{summary:?} -> {}", settings.out.display());
    Ok(())
}
