//! Antialiased bilinear resizing of pictures.

use ndarray::{Array3, ArrayView3, Axis};

use crate::geo::Size;

/// Fraction bits of the weights.
const PRECISION_BITS: u32 = 22;

/// Resizes a picture `[height, width, band]` with a triangle filter as wide as the reduction, rows first, rounding to
/// whole values in between.
///
/// Models are trained on pictures that Python's Pillow has resized with `BILINEAR`; this gives the same values (its
/// method: fixed-point weights of 22 bits).
pub fn bilinear(pixels: &ArrayView3<'_, u8>, size: Size) -> Array3<u8> {
    let (height, width, _) = pixels.dim();
    let wide = if width == size.width { pixels.to_owned() } else { along(pixels, Axis(1), size.width) };
    if height == size.height { wide } else { along(&wide.view(), Axis(0), size.height) }
}

/// Weights of one output pixel, and the input pixel that the first of them belongs to.
struct Kernel {
    first: usize,
    weights: Vec<i64>,
}

fn kernels(input: usize, output: usize) -> Vec<Kernel> {
    let scale = input as f64 / output as f64;
    let support = scale.max(1.0);
    (0..output)
        .map(|position| {
            let centre = (position as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let end = ((centre + support + 0.5) as usize).clamp(first + 1, input.max(first + 1));
            let weights: Vec<f64> = (first..end.min(input))
                .map(|pixel| (1.0 - ((pixel as f64 - centre + 0.5) / support).abs()).max(0.0))
                .collect();
            let sum: f64 = weights.iter().sum();
            let fixed = |weight: f64| (weight / sum * f64::from(1_u32 << PRECISION_BITS) + 0.5) as i64;
            Kernel { first, weights: weights.into_iter().map(fixed).collect() }
        })
        .collect()
}

fn along(pixels: &ArrayView3<'_, u8>, axis: Axis, length: usize) -> Array3<u8> {
    let mut shape = pixels.raw_dim();
    shape[axis.index()] = length;
    let mut resized = Array3::zeros(shape);
    for (mut out, kernel) in resized.axis_iter_mut(axis).zip(kernels(pixels.len_of(axis), length)) {
        let mut sums = ndarray::Array2::from_elem(out.raw_dim(), 1_i64 << (PRECISION_BITS - 1));
        for (offset, &weight) in kernel.weights.iter().enumerate() {
            let lane = pixels.index_axis(axis, kernel.first + offset);
            ndarray::Zip::from(&mut sums).and(lane).for_each(|sum, &value| *sum += weight * i64::from(value));
        }
        ndarray::Zip::from(&mut out)
            .and(&sums)
            .for_each(|out, &sum| *out = (sum >> PRECISION_BITS).clamp(0, 255) as u8);
    }
    resized
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(width: usize, height: usize) -> Array3<u8> {
        Array3::from_shape_fn((height, width, 3), |(row, col, band)| {
            ((row * 37 + col * 11 + band * 71) % 256) as u8
        })
    }
    /// Values that Pillow 13.0.0 gives for the same ramp, band by band of each pixel.
    #[test]
    fn values_agree_with_pillow() {
        let small = bilinear(&ramp(7, 5).view(), Size { width: 3, height: 2 });
        assert_eq!(
            small.iter().copied().collect::<Vec<_>>(),
            [46, 117, 181, 70, 141, 183, 94, 165, 166, 120, 191, 113, 144, 191, 83, 168, 158, 66]
        );
        let tall = bilinear(&ramp(3, 2).view(), Size { width: 2, height: 5 });
        assert_eq!(
            tall.iter().copied().collect::<Vec<_>>(),
            [
                4, 75, 146, 18, 89, 160, 8, 79, 150, 22, 93, 164, 23, 94, 165, 37, 108, 179, 37, 108, 179,
                51, 122, 193, 41, 112, 183, 55, 126, 197
            ]
        );
        let large = bilinear(&ramp(256, 256).view(), Size { width: 224, height: 224 });
        let sum: u64 = large
            .indexed_iter()
            .map(|((row, col, band), &value)| u64::from(value) * (1 + (row * 7 + col * 3 + band) % 13) as u64)
            .sum();
        assert_eq!(sum, 134_489_539);
    }

    #[test]
    fn a_picture_of_the_right_size_stays_as_it_is() {
        let picture = ramp(6, 4);
        assert_eq!(bilinear(&picture.view(), Size { width: 6, height: 4 }), picture);
    }

    #[test]
    fn a_single_pixel_fills_the_picture() {
        let picture = Array3::from_elem((1, 1, 3), 9);
        assert_eq!(bilinear(&picture.view(), Size { width: 4, height: 3 }), Array3::from_elem((3, 4, 3), 9));
    }
}
