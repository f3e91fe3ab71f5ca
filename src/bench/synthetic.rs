//! Pictures made in code: the same on every machine, and no two tiles alike.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use ndarray::Array3;

use crate::geo::Size;

/// Rows in one strip of the file.
const STRIP_ROWS: usize = 16;
/// Side of the fields that a picture is divided into, pixels.
const FIELD: usize = 28;
/// Where the arrays behind the directory of ten entries begin, bytes.
const ARRAYS: usize = 8 + 2 + 10 * 12 + 4;

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

/// Writes a picture as an uncompressed TIFF (revision 6.0, baseline RGB) in strips, as a raster that a scene may be.
pub(super) fn write_tiff(path: &Path, pixels: &Array3<u8>) -> std::io::Result<()> {
    let (height, width, bands) = pixels.dim();
    let row_bytes = width * bands;
    let strips: Vec<usize> =
        (0..height).step_by(STRIP_ROWS).map(|row| STRIP_ROWS.min(height - row) * row_bytes).collect();
    let count = strips.len();
    // Three numbers of bits, then the strips' places and lengths; a single number stands in the directory itself.
    let (bits, places) = (ARRAYS, ARRAYS + 6);
    let lengths = places + 4 * count;
    let data = lengths + 4 * count;
    let (in_place, in_length) = if count == 1 { (data, strips[0]) } else { (places, lengths) };
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(b"II*\0\x08\0\0\0\x0a\0")?;
    let (short, long) = (3_u16, 4_u16);
    for (tag, kind, number, value) in [
        (256_u16, long, 1, width),
        (257, long, 1, height),
        (258, short, 3, bits),
        (259, short, 1, 1),
        (262, short, 1, 2),
        (273, long, count, in_place),
        (277, short, 1, bands),
        (278, long, 1, STRIP_ROWS),
        (279, long, count, in_length),
        (284, short, 1, 1),
    ] {
        file.write_all(&tag.to_le_bytes())?;
        file.write_all(&kind.to_le_bytes())?;
        file.write_all(&(number as u32).to_le_bytes())?;
        file.write_all(&(value as u32).to_le_bytes())?;
    }
    file.write_all(&[0; 4])?;
    file.write_all(&[8, 0, 8, 0, 8, 0])?;
    let mut place = data;
    for length in &strips {
        file.write_all(&(place as u32).to_le_bytes())?;
        place += length;
    }
    for &length in &strips {
        file.write_all(&(length as u32).to_le_bytes())?;
    }
    for row in pixels.outer_iter() {
        file.write_all(&row.iter().copied().collect::<Vec<u8>>())?;
    }
    file.flush()
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
            let path = directory.path().join(format!("{width}.tif"));
            write_tiff(&path, &pixels).unwrap();
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
