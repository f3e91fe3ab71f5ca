//! One image at a time, from a file to a merged text.

use std::path::Path;
use std::time::{Duration, Instant};

use super::error::BenchError;
use super::report::{OneImage, Spread};
use super::sample::{Sample, cost};
use super::synthetic;
use crate::engine::{CaptionRequest, Engine};
use crate::vision::picture::{self, PictureOptions};

/// One image, described.
#[derive(Debug, Clone, Copy)]
pub(super) struct Described {
    sample: Sample,
    first_token: Duration,
    /// Pixels to image embeddings.
    seeing: Duration,
}

/// Writes a picture of the engine's input size, reads it as a user's file, and captions it. The writing is not counted.
pub(super) fn describe(
    engine: &mut Engine,
    request: &CaptionRequest,
    directory: &Path,
    seed: u64,
) -> Result<Described, BenchError> {
    let size = engine.input_size();
    let path = directory.join("one.bmp");
    synthetic::write(&path, &synthetic::picture(size, seed))
        .map_err(|source| BenchError::Unwritable { directory: directory.to_path_buf(), source })?;
    // Every repeat is the first image of a process.
    engine.forget_texts();
    let before = engine.counters();
    let started = Instant::now();
    let image = picture::read(&path, size, &PictureOptions::default())?;
    let reading = started.elapsed();
    let captions = engine.caption(&[image], request)?;
    let whole = started.elapsed();
    let timings = captions.first().map(|caption| caption.timings).unwrap_or_default();
    Ok(Described {
        sample: Sample { images: captions.len(), whole, reading, done: engine.counters() - before },
        first_token: timings.first_token.unwrap_or_default(),
        seeing: timings.preprocess + timings.encode,
    })
}

/// What the repeats say.
pub(super) fn summary(repeats: &[Described], bytes_per_s: Option<f64>) -> OneImage {
    let ms = |time: &dyn Fn(&Described) -> Duration| {
        Spread::of(repeats.iter().map(|each| time(each).as_secs_f64() * 1e3))
    };
    let samples: Vec<Sample> = repeats.iter().map(|each| each.sample).collect();
    OneImage {
        first_token_ms: ms(&|each| each.first_token),
        caption_ms: ms(&|each| each.sample.whole),
        from_embeddings_ms: ms(&|each| {
            each.sample.whole.saturating_sub(each.sample.reading).saturating_sub(each.seeing)
        }),
        cost: cost(&samples, bytes_per_s),
    }
}
