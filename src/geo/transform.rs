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

/// A pixel position (col, row) and the map point that lies there.
pub type ControlPoint = ((f64, f64), MapPoint);

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

    /// The affine transform that fits pairs of pixel position (col, row) and map point best, by least squares.
    ///
    /// `None` for fewer than three pairs, or pairs on one line.
    pub fn fit(pairs: &[ControlPoint]) -> Option<Self> {
        let count = pairs.len() as f64;
        if pairs.len() < 3 {
            return None;
        }
        let mut means = [0.0; 4];
        for ((col, row), point) in pairs {
            for (mean, value) in means.iter_mut().zip([col, row, &point.x, &point.y]) {
                *mean += value / count;
            }
        }
        let [col_mean, row_mean, x_mean, y_mean] = means;
        let (mut cc, mut rr, mut cr) = (0.0, 0.0, 0.0);
        let (mut cx, mut rx, mut cy, mut ry) = (0.0, 0.0, 0.0, 0.0);
        for ((col, row), point) in pairs {
            let (col, row) = (col - col_mean, row - row_mean);
            let (x, y) = (point.x - x_mean, point.y - y_mean);
            cc += col * col;
            rr += row * row;
            cr += col * row;
            cx += col * x;
            rx += row * x;
            cy += col * y;
            ry += row * y;
        }
        let determinant = cc * rr - cr * cr;
        if determinant <= 1e-9 * cc * rr || !determinant.is_normal() {
            return None;
        }
        let (col_x, row_x) = ((cx * rr - rx * cr) / determinant, (rx * cc - cx * cr) / determinant);
        let (col_y, row_y) = ((cy * rr - ry * cr) / determinant, (ry * cc - cy * cr) / determinant);
        let origin_x = x_mean - col_mean * col_x - row_mean * row_x;
        let origin_y = y_mean - col_mean * col_y - row_mean * row_y;
        Some(Self { origin_x, col_x, row_x, origin_y, col_y, row_y })
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

    #[test]
    fn a_fit_through_control_points_finds_the_transform() {
        let truth = GeoTransform::from_gdal([4.0e5, 9.0, 1.5, 5.0e6, -2.0, -10.0]);
        let pixels = [(0.0, 0.0), (100.0, 0.0), (0.0, 80.0), (55.0, 31.0)];
        let pairs: Vec<_> = pixels.iter().map(|&(col, row)| ((col, row), truth.to_map(col, row))).collect();
        let fit = GeoTransform::fit(&pairs).unwrap();
        let (found, expected) = (fit.to_map(10.0, 20.0), truth.to_map(10.0, 20.0));
        assert!((found.x - expected.x).abs() < 1e-6 && (found.y - expected.y).abs() < 1e-6);
        assert_eq!(GeoTransform::fit(&pairs[..2]), None);
        let on_a_line: Vec<_> = (0..5).map(|step| ((f64::from(step), f64::from(step)), pairs[0].1)).collect();
        assert_eq!(GeoTransform::fit(&on_a_line), None);
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
