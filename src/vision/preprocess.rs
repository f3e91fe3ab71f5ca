//! Pictures to the vision encoder's input; the only place where that happens.

use ndarray::{Array4, ArrayViewMut3, Axis, Zip};
use rayon::prelude::*;

use super::VisionError;
use super::resize::bilinear;
use crate::geo::Size;
use crate::image::{ImageTensor, PixelImage};
use crate::manifest::{PreprocessSpec, Resampling};

/// Resizes (if the size differs) and normalises: NCHW f32 `[images, 3, height, width]`, `(x / 255 - mean) / std` per
/// band.
///
/// Resizing gives the values of Pillow's `BILINEAR`, see [`bilinear`].
///
/// # Errors
/// [`VisionError::Image`] if the arrays do not fit together.
pub fn preprocess(images: &[PixelImage], spec: &PreprocessSpec) -> Result<ImageTensor, VisionError> {
    let mut tensor = Array4::<f32>::zeros((images.len(), 3, spec.height, spec.width));
    tensor.axis_iter_mut(Axis(0)).zip(images).par_bridge().for_each(|(mut planes, image)| {
        if image.width() == spec.width && image.height() == spec.height {
            normalise(image, spec, &mut planes);
        } else {
            normalise(&resize(image, spec), spec, &mut planes);
        }
    });
    Ok(ImageTensor::try_new(tensor)?)
}

fn resize(image: &PixelImage, spec: &PreprocessSpec) -> PixelImage {
    let size = Size { width: spec.width, height: spec.height };
    let pixels = match spec.resampling {
        Resampling::Bilinear => bilinear(&image.pixels(), size),
    };
    PixelImage::try_new(pixels).expect("a manifest's size has pixels, and a picture three bands")
}

fn normalise(image: &PixelImage, spec: &PreprocessSpec, planes: &mut ArrayViewMut3<'_, f32>) {
    let pixels = image.pixels();
    for (index, mut plane) in planes.axis_iter_mut(Axis(0)).enumerate() {
        let (mean, std) = (spec.mean[index], spec.std[index]);
        let band = pixels.index_axis(Axis(2), spec.bands[index].index());
        let values: [f32; 256] = std::array::from_fn(|pixel| (pixel as f32 / 255.0 - mean) / std);
        Zip::from(&mut plane).and(&band).for_each(|value, &pixel| *value = values[usize::from(pixel)]);
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;
    use crate::manifest::Band;

    fn spec(width: usize, height: usize) -> PreprocessSpec {
        PreprocessSpec {
            width,
            height,
            bands: [Band::Blue, Band::Green, Band::Red],
            resampling: Resampling::Bilinear,
            mean: [0.5, 0.25, 0.0],
            std: [0.5, 1.0, 2.0],
        }
    }

    #[test]
    fn bands_are_ordered_and_normalised_one_by_one() {
        let pixels = Array3::from_shape_fn((2, 3, 3), |(_, _, band)| [255, 51, 0][band]);
        let tensor = preprocess(&[PixelImage::try_new(pixels).unwrap()], &spec(3, 2)).unwrap();
        assert_eq!(tensor.values().dim(), (1, 3, 2, 3));
        let pixel: Vec<f32> = (0..3).map(|band| tensor.values()[[0, band, 1, 2]]).collect();
        for (found, expected) in pixel.iter().zip([-1.0, 0.2 - 0.25, 0.5]) {
            assert!((found - expected).abs() < 1e-6, "{pixel:?}");
        }
    }

    #[test]
    fn a_picture_that_is_not_square_is_resized_without_turning_it() {
        // Columns run from 0 to 240 in steps of 16, 16 wide and 4 high.
        let pixels = Array3::from_shape_fn((4, 16, 3), |(_, col, _)| (col * 16) as u8);
        let tensor = preprocess(&[PixelImage::try_new(pixels).unwrap()], &spec(4, 2)).unwrap();
        let red: Vec<f32> = (0..4).map(|col| tensor.values()[[0, 2, 0, col]] * 2.0 * 255.0).collect();
        // What Pillow's BILINEAR gives for a row 0, 16, .. 240 reduced to 4 pixels.
        for (found, expected) in red.iter().zip([30.0, 88.0, 152.0, 210.0]) {
            assert!((found - expected).abs() < 1e-3, "{red:?}");
        }
    }
}
