//! Where windows lie on the globe.

use super::Raster;
use crate::geo::{Footprint, Window, ground_distance_m};

/// Longest baselines, in pixels, for measuring the size of a pixel, longest first.
///
/// One pixel alone would be lost in the rounding of map projections for drone imagery, and sixteen are too many where the
/// scale changes from one to the next.
const BASELINES_PX: [f64; 2] = [16.0, 1.0];
/// The scale of a map is the same over this distance, metres.
const SAME_SCALE_M: f64 = 20_000.0;

/// Width and height of a pixel on the ground, metres.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PixelSize {
    /// Along a row.
    pub width: f64,
    /// Along a column.
    pub height: f64,
}

impl PixelSize {
    /// The side of a square pixel of the same area.
    pub fn mean(self) -> f64 {
        (self.width * self.height).sqrt()
    }
}

impl Raster {
    /// Outline of a window in WGS84; `None` without georeference, or where a part of the outline is off the globe.
    pub fn footprint(&self, window: Window) -> Option<Footprint> {
        Footprint::trace(window, |pixels| self.to_wgs84(pixels))
    }

    /// Size of a pixel at the centre of a window, in metres on the ground: the mean of width and height.
    pub fn ground_sample_distance_m(&self, window: Window) -> Option<f64> {
        self.ground_pixel_size_m(window).map(PixelSize::mean)
    }

    /// Width and height of a pixel at the centre of a window, metres on the ground.
    pub fn ground_pixel_size_m(&self, window: Window) -> Option<PixelSize> {
        let mut baselines = BASELINES_PX.into_iter();
        let measured = baselines.find_map(|longest_px| {
            let size = self.pixel_size_m(window, longest_px)?;
            let is_local = longest_px <= 1.0 || size.width.max(size.height) * longest_px <= SAME_SCALE_M;
            is_local.then_some(size)
        })?;
        let is_usable = |metres: f64| metres.is_finite() && metres > 0.0;
        (is_usable(measured.width) && is_usable(measured.height)).then_some(measured)
    }

    /// The same over a baseline of at most so many pixels.
    fn pixel_size_m(&self, window: Window, longest_px: f64) -> Option<PixelSize> {
        let (width, height) = (window.width as f64, window.height as f64);
        let (col, row) = (window.col as f64 + width / 2.0, window.row as f64 + height / 2.0);
        let (across, down) = (width.min(longest_px), height.min(longest_px));
        let ends = [
            (col - across / 2.0, row),
            (col + across / 2.0, row),
            (col, row - down / 2.0),
            (col, row + down / 2.0),
        ];
        let [west, east, north, south] = self.to_wgs84(&ends)?.try_into().ok()?;
        Some(PixelSize {
            width: ground_distance_m(west, east) / across,
            height: ground_distance_m(north, south) / down,
        })
    }
}
