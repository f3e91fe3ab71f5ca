//! Where windows lie on the globe.

use super::Raster;
use crate::geo::{Footprint, Window, ground_distance_m};

/// Longest baseline, in pixels, for measuring the size of a pixel.
///
/// One pixel alone would be lost in the rounding of map projections for drone imagery.
const BASELINE_PX: f64 = 16.0;

impl Raster {
    /// Outline of a window in WGS84; `None` without georeference, or where a part of the outline is off the globe.
    pub fn footprint(&self, window: Window) -> Option<Footprint> {
        Footprint::from_outline(&self.to_wgs84(&Footprint::outline(window))?)
    }

    /// Size of a pixel at the centre of a window, in metres on the ground: the mean of width and height.
    pub fn ground_sample_distance_m(&self, window: Window) -> Option<f64> {
        let (width, height) = (window.width as f64, window.height as f64);
        let (col, row) = (window.col as f64 + width / 2.0, window.row as f64 + height / 2.0);
        let (across, down) = (width.min(BASELINE_PX), height.min(BASELINE_PX));
        let ends = [
            (col - across / 2.0, row),
            (col + across / 2.0, row),
            (col, row - down / 2.0),
            (col, row + down / 2.0),
        ];
        let [west, east, north, south] = self.to_wgs84(&ends)?.try_into().ok()?;
        let metres =
            (ground_distance_m(west, east) / across * (ground_distance_m(north, south) / down)).sqrt();
        (metres.is_finite() && metres > 0.0).then_some(metres)
    }
}
