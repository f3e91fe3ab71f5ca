//! Pictures made in code: the same on every machine, and no two tiles alike.

use std::path::Path;

use image::{ExtendedColorType, ImageFormat};
use ndarray::Array3;

use crate::geo::Size;

/// Side of the fields that a picture is divided into, pixels.
const FIELD: usize = 28;

/// A picture of fields in different colours, with roads between them and grain on them: `[height, width, 3]`.
pub(super) fn picture(size: Size, seed: u64) -> Array3<u8> {
    Array3::from_shape_fn((size.height, size.width, 3), |(row, col, band)| {
        let (down, right) = (row / FIELD, col / FIELD);
        let is_road = row % FIELD < 2 || col % FIELD < 2;
        let field =
            if is_road { 190 } else { 40 + hash([seed, down as u64, right as u64, band as u64]) % 120 };
        let grain = hash([seed, row as u64, col as u64, 9]) % 16;
        (field + grain) as u8
    })
}

/// Mixes four numbers into one (the finalizer of splitmix64).
fn hash(numbers: [u64; 4]) -> u64 {
    numbers.into_iter().fold(0, |mixed: u64, number| {
        let mut next = mixed.wrapping_add(number).wrapping_add(0x9e37_79b9_7f4a_7c15);
        next = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        next = (next ^ (next >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        next ^ (next >> 31)
    })
}

/// Writes a picture as a BMP file: uncompressed, so that a scene may read any window of it.
pub(super) fn write(path: &Path, pixels: &Array3<u8>) -> std::io::Result<()> {
    let (height, width, _) = pixels.dim();
    let bytes: Vec<u8> = pixels.iter().copied().collect();
    image::save_buffer_with_format(
        path,
        &bytes,
        width as u32,
        height as u32,
        ExtendedColorType::Rgb8,
        ImageFormat::Bmp,
    )
    .map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::picture::{PictureOptions, read};

    #[test]
    fn a_written_picture_is_read_back_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        for (width, height) in [(40, 24), (33, 16), (50, 101)] {
            let size = Size { width, height };
            let pixels = picture(size, 3);
            let path = directory.path().join(format!("{width}.bmp"));
            write(&path, &pixels).unwrap();
            let found = read(&path, size, &PictureOptions::default()).unwrap();
            assert_eq!(found.pixels(), pixels.view(), "{width} x {height}");
        }
    }

    #[test]
    fn pictures_are_the_same_every_time_and_different_from_each_other() {
        let size = Size { width: 60, height: 30 };
        assert_eq!(picture(size, 1), picture(size, 1));
        assert_ne!(picture(size, 1), picture(size, 2));
    }
}
