//! How long a run will take, found out on a few of its tiles.

use std::time::{Duration, Instant};

use super::reader::{ReadTile, read_batch};
use super::{SceneError, ScenePlan, SceneSettings, TileDescriber};
use crate::image::PixelImage;
use crate::raster::Raster;

/// Batches in which tiles with enough valid pixels are looked for, spread over the scene.
const TRIED_BATCHES: usize = 16;

/// What tiles take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TileTime {
    /// How many were described to find out.
    pub tiles: usize,
    /// Reading and describing one of them.
    pub per_tile: Duration,
}

/// Reads and describes a batch of the run's tiles, after one to warm up, and writes nothing. `None` if there is no tile with
/// enough valid pixels where it looks.
///
/// # Errors
/// [`SceneError::Raster`], [`SceneError::Describe`].
pub fn measure(
    settings: &SceneSettings,
    plan: &ScenePlan,
    describer: &mut dyn TileDescriber,
) -> Result<Option<TileTime>, SceneError> {
    let facts = &plan.facts;
    let raster = Raster::open(&settings.raster)?.with_nodata(facts.nodata);
    let own: Vec<usize> = (0..facts.batches()).filter(|&batch| facts.shard.has_batch(batch)).collect();
    let step = own.len().div_ceil(TRIED_BATCHES).max(1);
    // From the middle on: the first tiles of a scene are likely to be its border.
    for &number in own.iter().skip(step / 2).step_by(step) {
        let started = Instant::now();
        let batch = read_batch(&raster, facts, plan.input, number);
        let reading = started.elapsed();
        let images: Vec<PixelImage> = batch.tiles.iter().filter_map(ReadTile::picture).cloned().collect();
        let Ok(tiles) = u32::try_from(images.len()) else { continue };
        if tiles == 0 {
            continue;
        }
        let mut describe =
            || describer.describe(&images).map_err(|source| SceneError::Describe { batch: number, source });
        describe()?;
        let started = Instant::now();
        describe()?;
        return Ok(Some(TileTime { tiles: images.len(), per_tile: (reading + started.elapsed()) / tiles }));
    }
    Ok(None)
}
