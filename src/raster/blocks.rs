//! Which blocks of a raster its file holds: sparse files leave out what is empty.

use std::ops::RangeInclusive;

use gdal::errors::GdalError;
use gdal::raster::RasterBand;
use gdal::{Dataset, Metadata};
use ndarray::Array2;

use super::{BandPlan, ReadRequest};
use crate::geo::{Size, Window};

/// The blocks of some bands of a raster.
pub(super) struct Blocks<'a> {
    bands: Vec<RasterBand<'a>>,
    /// Pixels of a block.
    size: Size,
    /// Pixels of the raster.
    raster: Size,
    /// True if the file tells which blocks it has.
    tells: bool,
}

impl<'a> Blocks<'a> {
    /// The format tells which of them it has if it is TIFF, and a block is more than one row: those may be parts of a larger strip, of
    /// which the driver knows nothing.
    pub(super) fn of(dataset: &'a Dataset, bands: BandPlan) -> Result<Self, GdalError> {
        let bands = bands.bands().into_iter().map(|band| dataset.rasterband(band.number()));
        let bands = bands.collect::<Result<Vec<_>, _>>()?;
        let (width, height) = bands[0].block_size();
        let size = Size { width: width.max(1), height: height.max(1) };
        let tells = height > 1 && dataset.driver().short_name() == "GTiff";
        let (width, height) = dataset.raster_size();
        Ok(Self { bands, size, raster: Size { width, height }, tells })
    }

    /// The rows of blocks in which a window lies, of the raster (`reduction` 1) or of an overview of so many times fewer pixels a side.
    pub(super) fn rows(&self, window: Window, reduction: usize) -> RangeInclusive<usize> {
        touched(window.row, window.height, self.size.height * reduction)
    }

    /// Bytes that these rows of blocks take when they are decoded, from one side of the raster to the other, as far as the file has them;
    /// it is no use to know more than `limit`.
    pub(super) fn bytes_of(
        &self,
        rows: RangeInclusive<usize>,
        reduction: usize,
        bytes_per_pixel: u64,
        limit: u64,
    ) -> u64 {
        let bytes = (self.size.pixels() as u64).saturating_mul(bytes_per_pixel);
        let (width, height) = (self.size.width * reduction, self.size.height * reduction);
        // An overview has a block where the raster has one of those that it is made of.
        let block = |row: usize, col: usize| {
            let (col, row) = (col * width, row * height);
            let (width, height) = (width.min(self.raster.width - col), height.min(self.raster.height - row));
            Window { col, row, width, height }
        };
        let columns = self.raster.width.div_ceil(width);
        let blocks = rows.flat_map(|row| (0..columns).map(move |col| (row, col)));
        let held = blocks.filter(|&(row, col)| !self.are_absent(block(row, col)));
        held.take((limit / bytes.max(1)) as usize + 1).count() as u64 * bytes
    }

    /// True if the file has none of the blocks that a window lies in.
    pub(super) fn are_absent(&self, window: Window) -> bool {
        let touched = |start: usize, length: usize, side: usize| start / side..=(start + length - 1) / side;
        touched(window.row, window.height, self.size.height)
            .all(|row| touched(window.col, window.width, self.size.width).all(|col| self.is_absent(col, row)))
    }

    /// Hides the pixels of blocks that the file does not have: what is read there is nothing that anybody has seen.
    pub(super) fn hide_absent(&self, request: &ReadRequest, valid: &mut Array2<bool>) {
        if !self.tells {
            return;
        }
        let ReadRequest { window, size, .. } = *request;
        // The block in which the middle of each pixel of the result lies.
        let places = |start: usize, length: usize, reduced: usize, side: usize| {
            let middle = move |pixel: usize| (2 * pixel as u128 + 1) * length as u128 / (2 * reduced as u128);
            (0..reduced).map(move |pixel| (start + middle(pixel) as usize) / side)
        };
        let cols: Vec<usize> = places(window.col, window.width, size.width, self.size.width).collect();
        let mut absent = vec![false; cols.len()];
        let mut last_row = None;
        for (row, mut line) in
            places(window.row, window.height, size.height, self.size.height).zip(valid.rows_mut())
        {
            if last_row.replace(row) != Some(row) {
                for (pixel, &col) in cols.iter().enumerate() {
                    let is_same = pixel > 0 && cols[pixel - 1] == col;
                    absent[pixel] = if is_same { absent[pixel - 1] } else { self.is_absent(col, row) };
                }
            }
            line.iter_mut().zip(&absent).for_each(|(valid, &absent)| *valid &= !absent);
        }
    }

    /// The TIFF driver tells where a block lies in the file, and nothing for one that was never written.
    fn is_absent(&self, col: usize, row: usize) -> bool {
        let item = format!("BLOCK_OFFSET_{col}_{row}");
        self.tells && self.bands.iter().all(|band| band.metadata_item(&item, "TIFF").is_none())
    }
}

/// The blocks of this side that a span of pixels touches.
fn touched(start: usize, length: usize, side: usize) -> RangeInclusive<usize> {
    start / side..=(start + length.max(1) - 1) / side
}

#[cfg(test)]
mod tests {
    use gdal::DriverManager;
    use gdal::raster::Buffer;

    use super::*;
    use crate::raster::BandIndex;

    const SIDE: usize = 64;
    const LIMIT: u64 = 1 << 30;
    /// Bytes of a decoded block, at one byte for each pixel.
    const BLOCK: u64 = (SIDE * SIDE) as u64;

    /// 10 by 6 blocks, of which the file holds two beside each other in the third row, and one in the fifth.
    fn sparse(directory: &std::path::Path) -> Dataset {
        let path = directory.join("sparse.tif");
        let options = ["TILED=YES", "BLOCKXSIZE=64", "BLOCKYSIZE=64", "SPARSE_OK=TRUE"];
        let dataset = DriverManager::get_driver_by_name("GTiff")
            .unwrap()
            .create_with_band_type_with_options::<u8, _>(
                &path,
                10 * SIDE - 7,
                6 * SIDE - 7,
                1,
                &options.into_iter().collect(),
            )
            .unwrap();
        let mut band = dataset.rasterband(1).unwrap();
        for (col, row) in [(3, 2), (4, 2), (7, 4)] {
            let mut buffer = Buffer::new((SIDE, SIDE), vec![9_u8; SIDE * SIDE]);
            band.write(((col * SIDE) as isize, (row * SIDE) as isize), (SIDE, SIDE), &mut buffer).unwrap();
        }
        dataset.close().unwrap();
        Dataset::open(&path).unwrap()
    }

    #[test]
    fn a_row_of_tiles_needs_the_blocks_that_the_file_holds_there() {
        let directory = tempfile::tempdir().unwrap();
        let dataset = sparse(directory.path());
        let blocks = Blocks::of(&dataset, BandPlan::Gray(BandIndex::new(1).unwrap())).unwrap();
        let needs = |row: usize, height: usize, reduction: usize, limit: u64| {
            let window = Window { col: 500, row, width: 50, height };
            blocks.bytes_of(blocks.rows(window, reduction), reduction, 1, limit)
        };
        assert_eq!(needs(0, 128, 1, LIMIT), 0, "nothing is there");
        assert_eq!(needs(100, 30, 1, LIMIT), 2 * BLOCK, "of all the row, wherever the tile is");
        assert_eq!(needs(100, 200, 1, LIMIT), 3 * BLOCK);
        assert_eq!(needs(100, 200, 1, BLOCK), 2 * BLOCK, "no more is looked for than the limit");
        // An overview of half as many pixels a side: 5 by 3 blocks, of which the file would hold two and one.
        assert_eq!(needs(100, 28, 2, LIMIT), 0);
        assert_eq!(needs(100, 200, 2, LIMIT), 3 * BLOCK);
        assert_eq!(needs(0, 300, 8, LIMIT), BLOCK);
    }
}
