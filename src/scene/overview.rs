//! A scene as a whole, before its tiles: what it shows, and which tiles promise most.

use super::{RunFacts, SceneError, ScenePlan, TileDescriber, TileText};
use crate::geo::{Size, Window};
use crate::raster::{Raster, RasterError, ReadRequest, Resampling};
use crate::vision::picture;

/// Longest side of the picture in which promising tiles are looked for, pixels.
const LOOK_PX: usize = 1024;
/// Most pixels of a scene without overviews that is read as a whole: of a larger one that would take as long as its tiles.
const MAX_UNAIDED_PIXELS: usize = 1 << 26;
/// Luma of red, green and blue (ITU-R BT.601).
const LUMA: [f64; 3] = [0.299, 0.587, 0.114];

/// True if the whole scene can be read at a reduced size without reading most of its pixels.
fn has_quick_whole(raster: &Raster) -> bool {
    raster.info().has_overviews || raster.info().size.pixels() <= MAX_UNAIDED_PIXELS
}

/// Describes the whole scene as one picture. `None` if it has too few valid pixels, cannot be read, or has no overviews and is
/// too large to do without.
///
/// # Errors
/// [`SceneError::Raster`] if the reading is interrupted; [`SceneError::Overview`].
pub(super) fn describe_whole(
    plan: &ScenePlan,
    raster: &Raster,
    describer: &mut dyn TileDescriber,
) -> Result<Option<TileText>, SceneError> {
    if !has_quick_whole(raster) {
        return Ok(None);
    }
    let (window, facts) = (Window::whole(raster.info().size), &plan.facts);
    let request =
        ReadRequest { window, size: plan.input, bands: facts.bands, resampling: Resampling::Bilinear };
    let tile = match raster.read_window(&request) {
        Ok(tile) => tile,
        // Nothing is known of the scene then, and what is recorded is believed.
        Err(error @ RasterError::Interrupted { .. }) => return Err(error.into()),
        Err(_) => return Ok(None),
    };
    if tile.valid_fraction() == 0.0 || tile.valid_fraction() < facts.min_valid {
        return Ok(None);
    }
    let images = [facts.stretch.apply(&tile)];
    let texts = describer.describe(&images).map_err(|source| SceneError::Overview { source })?;
    Ok(texts.into_iter().next())
}

/// Orders batches so that those that promise most come first: by how much the brightness of their tiles varies in a reduced
/// picture of the scene (standard deviation times valid share, mean over the tiles). Where the scene has no quick picture, spread
/// over it.
pub(super) fn most_promising_first(facts: &RunFacts, raster: &Raster, mut batches: Vec<usize>) -> Vec<usize> {
    let look = has_quick_whole(raster)
        .then(|| picture::quick_look(raster, facts.bands, &facts.stretch, LOOK_PX).ok())
        .flatten();
    let Some(look) = look else {
        // Halves, quarters, eighths of the scene, one after the other.
        batches.sort_by_key(|batch| batch.reverse_bits());
        return batches;
    };
    let variation = Variation::of(&look);
    let promise = |&batch: &usize| {
        let tiles = facts.tiles_of(batch).filter_map(|index| facts.grid.window(index));
        let (sum, count) = tiles
            .map(|window| variation.in_window(window, facts.grid.scene()))
            .fold((0.0, 0_u32), |(sum, count), tile| (sum + tile, count + 1));
        sum / f64::from(count.max(1))
    };
    let mut ranked: Vec<(f64, usize)> = batches.into_iter().map(|batch| (promise(&batch), batch)).collect();
    ranked.sort_by(|first, second| second.0.total_cmp(&first.0).then(first.1.cmp(&second.1)));
    ranked.into_iter().map(|(_, batch)| batch).collect()
}

/// Sums over rectangles of a picture that begin at its corner: any rectangle's sum is four of them.
struct Variation {
    size: Size,
    /// Count, brightness, brightness squared of the valid pixels above and to the left; one row and column more than the picture.
    sums: Vec<[f64; 3]>,
}

impl Variation {
    fn of(look: &picture::QuickLook) -> Self {
        let (pixels, valid) = (look.image.pixels(), &look.valid);
        let (height, width) = valid.dim();
        let mut sums = vec![[0.0; 3]; (width + 1) * (height + 1)];
        for row in 0..height {
            let mut line = [0.0; 3];
            for col in 0..width {
                if valid[[row, col]] {
                    let luma: f64 = (0..3).map(|band| LUMA[band] * f64::from(pixels[[row, col, band]])).sum();
                    for (total, value) in line.iter_mut().zip([1.0, luma, luma * luma]) {
                        *total += value;
                    }
                }
                let above = sums[row * (width + 1) + col + 1];
                sums[(row + 1) * (width + 1) + col + 1] = std::array::from_fn(|sum| above[sum] + line[sum]);
            }
        }
        Self { size: Size { width, height }, sums }
    }

    /// Standard deviation of the brightness in a window of the scene, times its valid share.
    fn in_window(&self, window: Window, scene: Size) -> f64 {
        let span = |start: usize, length: usize, whole: usize, reduced: usize| {
            let scale = reduced as f64 / whole as f64;
            let first = ((start as f64 * scale) as usize).min(reduced - 1);
            let last = (((start + length) as f64 * scale).ceil() as usize).clamp(first + 1, reduced);
            (first, last)
        };
        let (left, right) = span(window.col, window.width, scene.width, self.size.width);
        let (top, bottom) = span(window.row, window.height, scene.height, self.size.height);
        let at = |row: usize, col: usize| self.sums[row * (self.size.width + 1) + col];
        let (first, last) = (at(top, left), at(bottom, right));
        let [count, sum, squares]: [f64; 3] = std::array::from_fn(|each| {
            last[each] - at(top, right)[each] - at(bottom, left)[each] + first[each]
        });
        if count < 1.0 {
            return 0.0;
        }
        let share = count / ((right - left) * (bottom - top)) as f64;
        (squares / count - (sum / count).powi(2)).max(0.0).sqrt() * share
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Array3};

    use super::*;
    use crate::image::PixelImage;

    #[test]
    fn a_tile_with_contrast_promises_more_than_an_even_one_and_an_empty_one_nothing() {
        let mut pixels = Array3::from_elem((6, 8, 3), 90_u8);
        for col in 4..8 {
            pixels.slice_mut(ndarray::s![.., col, ..]).fill(if col % 2 == 0 { 50 } else { 150 });
        }
        let mut valid = Array2::from_elem((6, 8), true);
        valid.slice_mut(ndarray::s![3.., 4..]).fill(false);
        let look = picture::QuickLook { image: PixelImage::try_new(pixels).unwrap(), valid };
        let variation = Variation::of(&look);
        let scene = Size { width: 80, height: 60 };
        let window = |col: usize, row: usize| Window { col, row, width: 40, height: 30 };
        let promise = |col, row| variation.in_window(window(col, row), scene);
        assert!((promise(40, 0) - 50.0).abs() < 1e-9 && promise(0, 0) < 1e-3, "{}", promise(40, 0));
        assert!(promise(40, 30) == 0.0);
        let half = variation.in_window(Window { col: 40, row: 0, width: 40, height: 60 }, scene);
        assert!((half - 25.0).abs() < 1e-9, "{half}");
    }
}
