//! The pixel containers that stages hand to each other.
//!
//! | type | layout | values |
//! |---|---|---|
//! | [`Tile`] | `[band, height, width]` f32 | native values of the raster, with a valid mask |
//! | [`PixelImage`] | `[height, width, 3]` u8 | red, green, blue for display, `0..=255` |
//! | [`ImageTensor`] | `[batch, 3, height, width]` f32 | normalised for one vision encoder |

use ndarray::{Array2, Array3, Array4, ArrayView3, ArrayView4};

use crate::geo::{Size, Window};

/// A picture as a person would see it: `[height, width, 3]` u8, red, green, blue, `0..=255`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PixelImage {
    pixels: Array3<u8>,
}

impl PixelImage {
    /// Wraps pixels of shape `[height, width, 3]`.
    ///
    /// # Errors
    /// [`ImageError::Shape`] if the last axis is not 3 or the picture has no pixels.
    pub fn try_new(pixels: Array3<u8>) -> Result<Self, ImageError> {
        let (height, width, bands) = pixels.dim();
        if bands != 3 || height == 0 || width == 0 {
            return Err(ImageError::Shape {
                expected: "[height, width, 3]",
                found: vec![height, width, bands],
            });
        }
        Ok(Self { pixels })
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.pixels.dim().1
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.pixels.dim().0
    }

    /// The pixels, `[height, width, 3]`.
    pub fn pixels(&self) -> ArrayView3<'_, u8> {
        self.pixels.view()
    }
}

/// A window of a raster with its samples in native values.
///
/// The arrays may be of another size than the window: reading resamples straight to the size that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Tile {
    window: Window,
    samples: Array3<f32>,
    valid: Array2<bool>,
}

impl Tile {
    /// Joins a window, its samples `[band, height, width]` and its valid mask `[height, width]`.
    ///
    /// # Errors
    /// [`ImageError::Shape`] if mask and samples differ in size.
    pub fn try_new(window: Window, samples: Array3<f32>, valid: Array2<bool>) -> Result<Self, ImageError> {
        let (bands, height, width) = samples.dim();
        if valid.dim() != (height, width) {
            return Err(ImageError::Shape {
                expected: "samples [band, height, width] and valid [height, width]",
                found: vec![bands, height, width, valid.dim().0, valid.dim().1],
            });
        }
        Ok(Self { window, samples, valid })
    }

    /// The window in pixels of the full-resolution raster.
    pub fn window(&self) -> Window {
        self.window
    }

    /// The samples, `[band, height, width]`, native values. Invalid pixels hold whatever the file holds there.
    pub fn samples(&self) -> ArrayView3<'_, f32> {
        self.samples.view()
    }

    /// True where a pixel holds data (`[height, width]`): not nodata, not transparent, not masked, not NaN.
    pub fn valid(&self) -> ndarray::ArrayView2<'_, bool> {
        self.valid.view()
    }

    /// Width and height of the arrays.
    pub fn size(&self) -> Size {
        Size { width: self.valid.dim().1, height: self.valid.dim().0 }
    }

    /// Share of valid pixels, `0..=1`; 0 for a tile without pixels.
    pub fn valid_fraction(&self) -> f64 {
        if self.valid.is_empty() {
            return 0.0;
        }
        self.valid.iter().filter(|&&valid| valid).count() as f64 / self.valid.len() as f64
    }
}

/// A batch for the vision encoder: NCHW f32, `[batch, 3, height, width]`, normalised as the model's manifest says.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageTensor(Array4<f32>);

impl ImageTensor {
    /// Wraps values of shape `[batch, 3, height, width]`.
    ///
    /// # Errors
    /// [`ImageError::Shape`] if the second axis is not 3.
    pub fn try_new(values: Array4<f32>) -> Result<Self, ImageError> {
        let (batch, bands, height, width) = values.dim();
        if bands != 3 {
            return Err(ImageError::Shape {
                expected: "[batch, 3, height, width]",
                found: vec![batch, bands, height, width],
            });
        }
        Ok(Self(values))
    }

    /// The values, `[batch, 3, height, width]`.
    pub fn values(&self) -> ArrayView4<'_, f32> {
        self.0.view()
    }

    /// Gives the array back, `[batch, 3, height, width]`.
    pub fn into_values(self) -> Array4<f32> {
        self.0
    }

    /// Number of images in the batch.
    pub fn batch(&self) -> usize {
        self.0.dim().0
    }
}

/// An array that does not have the layout its type asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// Wrong number or length of axes.
    #[error("image array: expected {expected}, found {found:?}")]
    Shape {
        /// The layout that was expected.
        expected: &'static str,
        /// The lengths that were found.
        found: Vec<usize>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_that_is_not_square_keeps_width_and_height_apart() {
        let image = PixelImage::try_new(Array3::zeros((2, 5, 3))).unwrap();
        assert_eq!((image.width(), image.height()), (5, 2));
    }

    #[test]
    fn planes_first_is_refused() {
        assert!(PixelImage::try_new(Array3::zeros((3, 2, 5))).is_err());
        assert!(PixelImage::try_new(Array3::zeros((0, 2, 3))).is_err());
    }

    #[test]
    fn a_mask_of_another_size_is_refused() {
        let window = Window { col: 0, row: 0, width: 5, height: 2 };
        assert!(Tile::try_new(window, Array3::zeros((1, 2, 5)), Array2::from_elem((5, 2), true)).is_err());
        let mut valid = Array2::from_elem((2, 5), true);
        valid[[0, 0]] = false;
        let tile = Tile::try_new(window, Array3::zeros((1, 2, 5)), valid).unwrap();
        assert!((tile.valid_fraction() - 0.9).abs() < 1e-12);
        assert_eq!(tile.size(), Size { width: 5, height: 2 });
    }

    #[test]
    fn a_tensor_has_three_bands() {
        assert!(ImageTensor::try_new(Array4::zeros((1, 4, 2, 2))).is_err());
        assert_eq!(ImageTensor::try_new(Array4::zeros((2, 3, 4, 5))).unwrap().batch(), 2);
    }
}
