//! From native sample values to display values: one stretch for a whole scene.

use std::fmt;
use std::str::FromStr;

use ndarray::{Array3, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::image::{PixelImage, Tile};

/// Percentiles of [`StretchMode::Auto`].
const AUTO_PERCENTILES: (f64, f64) = (2.0, 98.0);

/// How display values are to be found.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum StretchMode {
    /// None for 8-bit rasters and palettes, else the 2nd to the 98th percentile of each band.
    #[default]
    Auto,
    /// Samples are display values already, `0..=255`.
    None,
    /// From `min` (black) to `max` (white) in all bands, in what the bands measure where the file says so.
    Range {
        /// Shown as 0.
        min: f32,
        /// Shown as 255.
        max: f32,
    },
    /// From one percentile of each band's valid pixels to another, `0..=100`.
    Percentiles {
        /// Shown as 0.
        low: f64,
        /// Shown as 255.
        high: f64,
    },
    /// That of another scene, as its run recorded it.
    Recorded(Stretch),
}

impl StretchMode {
    /// The percentiles that this mode needs for samples that are, or are not, in display range already.
    pub fn percentiles(&self, is_display_range: bool) -> Option<(f64, f64)> {
        match *self {
            Self::Auto if !is_display_range => Some(AUTO_PERCENTILES),
            Self::Percentiles { low, high } => Some((low, high)),
            Self::Auto | Self::None | Self::Range { .. } | Self::Recorded(_) => None,
        }
    }
}

/// A text that is not a stretch: expected `auto`, `none`, `MIN,MAX` or `pLOW,pHIGH`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "stretch {text:?}: expected auto, none, MIN,MAX with MIN < MAX, or pLOW,pHIGH with 0 <= LOW < HIGH <= 100"
)]
pub struct StretchParseError {
    /// The text.
    pub text: String,
}

impl FromStr for StretchMode {
    type Err = StretchParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || StretchParseError { text: text.to_owned() };
        match text.trim() {
            "auto" => return Ok(Self::Auto),
            "none" => return Ok(Self::None),
            _ => {}
        }
        let (first, second) = text.split_once(',').ok_or_else(error)?;
        let (first, second) = (first.trim(), second.trim());
        if let (Some(low), Some(high)) = (first.strip_prefix('p'), second.strip_prefix('p')) {
            let (low, high): (f64, f64) =
                (low.parse().map_err(|_| error())?, high.parse().map_err(|_| error())?);
            return if 0.0 <= low && low < high && high <= 100.0 {
                Ok(Self::Percentiles { low, high })
            } else {
                Err(error())
            };
        }
        let (min, max): (f32, f32) =
            (first.parse().map_err(|_| error())?, second.parse().map_err(|_| error())?);
        if min < max && min.is_finite() && max.is_finite() {
            Ok(Self::Range { min, max })
        } else {
            Err(error())
        }
    }
}

impl fmt::Display for StretchMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => formatter.write_str("auto"),
            Self::None => formatter.write_str("none"),
            Self::Range { min, max } => write!(formatter, "{min},{max}"),
            Self::Percentiles { low, high } => write!(formatter, "p{low},p{high}"),
            Self::Recorded(_) => formatter.write_str("recorded"),
        }
    }
}

/// The stretch of a scene, in numbers: what the journal records and another scene can reuse.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stretch {
    /// Samples are display values already.
    None,
    /// For each band the values shown as 0 and 255.
    Linear(Vec<[f32; 2]>),
}

impl Stretch {
    /// Settles a mode. `samples` gives the valid samples of each band, in any order, and is called only if the mode
    /// needs percentiles. A band without valid samples gets 0 to 1.
    ///
    /// # Errors
    /// Those of `samples`.
    pub fn settle<E>(
        mode: StretchMode,
        is_display_range: bool,
        samples: impl FnOnce() -> Result<Vec<Vec<f32>>, E>,
    ) -> Result<Self, E> {
        if let Some((low, high)) = mode.percentiles(is_display_range) {
            let range = |mut band: Vec<f32>| {
                band.sort_unstable_by(f32::total_cmp);
                [percentile(&band, low).unwrap_or(0.0), percentile(&band, high).unwrap_or(1.0)]
            };
            return Ok(Self::Linear(samples()?.into_iter().map(range).collect()));
        }
        Ok(match mode {
            StretchMode::Range { min, max } => Self::Linear(vec![[min, max]]),
            StretchMode::Recorded(stretch) => stretch,
            _ => Self::None,
        })
    }

    /// The tile as a picture: one band in grey, three as red, green, blue.
    ///
    /// Invalid pixels take the mean of the valid ones in their band, so that a border looks like nothing in particular.
    pub fn apply(&self, tile: &Tile) -> PixelImage {
        let samples = tile.samples();
        let valid = tile.valid();
        let (bands, height, width) = samples.dim();
        let is_whole = valid.iter().all(|&valid| valid);
        let mut pixels = Array3::<u8>::zeros((height, width, 3));
        for color in 0..3 {
            let band = color.min(bands - 1);
            let plane = samples.index_axis(ndarray::Axis(0), band);
            let range = self.range(band);
            let fill = if is_whole { 0 } else { mean(&plane, &valid, range) };
            for ((row, col), &sample) in plane.indexed_iter() {
                pixels[[row, col, color]] =
                    if valid[[row, col]] { display_value(sample, range) } else { fill };
            }
        }
        PixelImage::try_new(pixels).expect("a tile has pixels and a picture three bands")
    }

    /// For how many bands it is; `None` for one that serves any number.
    pub fn bands(&self) -> Option<usize> {
        match self {
            Self::Linear(ranges) if ranges.len() > 1 => Some(ranges.len()),
            Self::None | Self::Linear(_) => None,
        }
    }

    /// The values shown as 0 and 255; one range may serve all bands.
    fn range(&self, band: usize) -> [f32; 2] {
        match self {
            Self::None => [0.0, 255.0],
            Self::Linear(ranges) => ranges.get(band).or(ranges.last()).copied().unwrap_or([0.0, 255.0]),
        }
    }
}

/// A constant band is shown in middle grey.
fn display_value(sample: f32, [black, white]: [f32; 2]) -> u8 {
    let span = f64::from(white) - f64::from(black);
    if span == 0.0 {
        return match sample.partial_cmp(&black) {
            Some(std::cmp::Ordering::Less) => 0,
            Some(std::cmp::Ordering::Greater) => 255,
            _ => 127,
        };
    }
    ((f64::from(sample) - f64::from(black)) / span * 255.0).round().clamp(0.0, 255.0) as u8
}

fn mean(plane: &ArrayView2<'_, f32>, valid: &ArrayView2<'_, bool>, range: [f32; 2]) -> u8 {
    let (mut sum, mut count) = (0_u64, 0_u64);
    ndarray::Zip::from(plane).and(valid).for_each(|&sample, &valid| {
        if valid {
            sum += u64::from(display_value(sample, range));
            count += 1;
        }
    });
    (sum + count / 2).checked_div(count).unwrap_or(0) as u8
}

/// A percentile of sorted values, interpolated between neighbours.
fn percentile(sorted: &[f32], percent: f64) -> Option<f32> {
    let last = sorted.len().checked_sub(1)?;
    let position = percent / 100.0 * last as f64;
    let below = position.floor() as usize;
    let (low, high) = (f64::from(sorted[below]), f64::from(sorted[(below + 1).min(last)]));
    Some((low + (high - low) * (position - below as f64)) as f32)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Array3};

    use super::*;
    use crate::geo::Window;

    fn tile(samples: Array3<f32>, valid: Array2<bool>) -> Tile {
        let (_, height, width) = samples.dim();
        Tile::try_new(Window { col: 0, row: 0, width, height }, samples, valid).unwrap()
    }

    fn settle(mode: &str, is_display_range: bool, bands: Vec<Vec<f32>>) -> Stretch {
        Stretch::settle(mode.parse().unwrap(), is_display_range, || Ok::<_, ()>(bands)).unwrap()
    }

    #[test]
    fn every_mode_reads_as_it_is_written() {
        for text in ["auto", "none", "0,3000", "-1.5,2.5", "p2,p98", "p0.5,p99.5"] {
            assert_eq!(text.parse::<StretchMode>().unwrap().to_string(), text);
        }
        for text in ["", "p2", "5,1", "p98,p2", "p-1,p50", "0,nan", "a,b", "1,2,3", "p1,2", "inf,inf"] {
            assert!(text.parse::<StretchMode>().is_err(), "{text}");
        }
    }

    #[test]
    fn eight_bit_rasters_are_not_stretched() {
        let never = || -> Result<Vec<Vec<f32>>, ()> { Err(()) };
        assert_eq!(Stretch::settle(StretchMode::Auto, true, never), Ok(Stretch::None));
        assert_eq!(
            Stretch::settle(StretchMode::Range { min: 1.0, max: 2.0 }, false, never),
            Ok(Stretch::Linear(vec![[1.0, 2.0]]))
        );
    }

    #[test]
    fn percentiles_leave_out_the_extremes() {
        let band: Vec<f32> = (0..=1000).rev().map(|value| value as f32).collect();
        assert_eq!(settle("auto", false, vec![band]), Stretch::Linear(vec![[20.0, 980.0]]));
    }

    #[test]
    fn constant_bands_are_grey_and_bands_without_pixels_do_no_harm() {
        let stretch = settle("auto", false, vec![vec![7.0; 9]]);
        let image = stretch.apply(&tile(Array3::from_elem((1, 2, 3), 7.0), Array2::from_elem((2, 3), true)));
        assert!(image.pixels().iter().all(|&value| value == 127));
        let empty = settle("auto", false, vec![vec![], vec![], vec![]]);
        let image =
            empty.apply(&tile(Array3::from_elem((3, 2, 3), f32::NAN), Array2::from_elem((2, 3), false)));
        assert_eq!((image.width(), image.height()), (3, 2));
    }

    #[test]
    fn invalid_pixels_take_the_mean_of_the_valid_ones_in_their_band() {
        let mut samples = Array3::zeros((3, 1, 3));
        for band in 0..3 {
            samples[[band, 0, 0]] = 10.0 * (band + 1) as f32;
            samples[[band, 0, 1]] = 30.0 * (band + 1) as f32;
            samples[[band, 0, 2]] = f32::NAN;
        }
        let valid = Array2::from_shape_vec((1, 3), vec![true, true, false]).unwrap();
        let image = Stretch::None.apply(&tile(samples, valid));
        assert_eq!(image.pixels().iter().copied().collect::<Vec<_>>(), [10, 20, 30, 30, 60, 90, 20, 40, 60]);
    }

    #[test]
    fn values_outside_the_range_are_clipped() {
        let stretch = settle("100,200", false, vec![]);
        let samples = Array3::from_shape_vec((1, 1, 4), vec![-5.0, 100.0, 150.0, 1e9]).unwrap();
        let image = stretch.apply(&tile(samples, Array2::from_elem((1, 4), true)));
        let grey: Vec<u8> = image.pixels().iter().copied().step_by(3).collect();
        assert_eq!(grey, [0, 0, 128, 255]);
    }
}
