//! From pixels to map coordinates.

use serde::{Deserialize, Serialize};

/// A position in the raster's coordinate reference system, in its own unit (metres, degrees, ...).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MapPoint {
    /// First coordinate in the traditional GIS order: easting or longitude.
    pub x: f64,
    /// Second coordinate: northing or latitude.
    pub y: f64,
}

/// The affine transform from pixel to map coordinates, in GDAL's order of coefficients.
///
/// Pixel coordinates are continuous: (0, 0) is the upper left corner of the upper left pixel, (0.5, 0.5) its centre.
/// `x = origin_x + col * col_x + row * row_x`, `y = origin_y + col * col_y + row * row_y`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GeoTransform {
    /// x of the upper left corner.
    pub origin_x: f64,
    /// Change of x from one column to the next: the pixel width of a north-up raster.
    pub col_x: f64,
    /// Change of x from one row to the next: 0 unless rotated or sheared.
    pub row_x: f64,
    /// y of the upper left corner.
    pub origin_y: f64,
    /// Change of y from one column to the next: 0 unless rotated or sheared.
    pub col_y: f64,
    /// Change of y from one row to the next: negative for a north-up raster.
    pub row_y: f64,
}

impl GeoTransform {
    /// From the six numbers that GDAL gives.
    pub fn from_gdal(numbers: [f64; 6]) -> Self {
        let [origin_x, col_x, row_x, origin_y, col_y, row_y] = numbers;
        Self { origin_x, col_x, row_x, origin_y, col_y, row_y }
    }

    /// Map coordinates of a continuous pixel position.
    pub fn to_map(self, col: f64, row: f64) -> MapPoint {
        MapPoint {
            x: self.origin_x + col * self.col_x + row * self.row_x,
            y: self.origin_y + col * self.col_y + row * self.row_y,
        }
    }

    /// Continuous pixel position (col, row) of a map point; `None` if the transform cannot be inverted.
    pub fn to_pixel(self, point: MapPoint) -> Option<(f64, f64)> {
        let determinant = self.determinant();
        if !self.is_usable() {
            return None;
        }
        let (dx, dy) = (point.x - self.origin_x, point.y - self.origin_y);
        Some((
            (dx * self.row_y - dy * self.row_x) / determinant,
            (dy * self.col_x - dx * self.col_y) / determinant,
        ))
    }

    /// True if all coefficients are finite and a pixel has an area.
    pub fn is_usable(self) -> bool {
        let finite = [self.origin_x, self.col_x, self.row_x, self.origin_y, self.col_y, self.row_y]
            .iter()
            .all(|number| number.is_finite());
        finite && self.determinant().is_normal()
    }

    fn determinant(self) -> f64 {
        self.col_x * self.row_y - self.row_x * self.col_y
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_north_up_raster_counts_rows_southward() {
        let transform = GeoTransform::from_gdal([500_000.0, 30.0, 0.0, 100.0, 0.0, -30.0]);
        assert_eq!(transform.to_map(2.0, 1.0), MapPoint { x: 500_060.0, y: 70.0 });
    }

    #[test]
    fn transforms_without_area_are_not_usable() {
        assert!(!GeoTransform::from_gdal([0.0, 1.0, 0.0, 0.0, 0.0, 0.0]).is_usable());
        assert!(!GeoTransform::from_gdal([f64::NAN, 1.0, 0.0, 0.0, 0.0, 1.0]).is_usable());
    }

    proptest! {
        #[test]
        fn pixel_to_map_and_back_is_the_identity(
            angle in 0.0f64..std::f64::consts::TAU, scale in 0.01f64..1000.0, shear in -0.5f64..0.5,
            col in 0.0f64..1e5, row in 0.0f64..1e5
        ) {
            let (sin, cos) = angle.sin_cos();
            let transform = GeoTransform::from_gdal(
                [4.0e5, scale * cos, scale * (shear * cos - sin), 5.0e6, scale * sin, scale * (shear * sin + cos)]);
            let (col_back, row_back) = transform.to_pixel(transform.to_map(col, row)).unwrap();
            prop_assert!((col_back - col).abs() < 1e-3 && (row_back - row).abs() < 1e-3);
        }
    }
}
