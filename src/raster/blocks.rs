//! Which blocks of a raster its file holds: sparse files leave out what is empty.

use gdal::raster::RasterBand;
use gdal::{Dataset, Metadata};
use ndarray::Array2;

use super::{BandPlan, ReadRequest};
use crate::geo::{Size, Window};

/// The blocks of some bands of a TIFF file.
pub(super) struct Blocks<'a> {
    bands: Vec<RasterBand<'a>>,
    size: Size,
}

impl<'a> Blocks<'a> {
    /// `None` where the format does not tell, and where blocks are of one row: those may be parts of a larger strip, of which the driver
    /// knows nothing.
    pub(super) fn of(dataset: &'a Dataset, bands: BandPlan) -> Option<Self> {
        if dataset.driver().short_name() != "GTiff" {
            return None;
        }
        let bands: Result<Vec<_>, _> =
            bands.bands().into_iter().map(|band| dataset.rasterband(band.number())).collect();
        let bands = bands.ok()?;
        let (width, height) = bands.first()?.block_size();
        (width > 0 && height > 1).then_some(Self { bands, size: Size { width, height } })
    }

    /// True if the file has none of the blocks that a window lies in.
    pub(super) fn are_absent(&self, window: Window) -> bool {
        let touched = |start: usize, length: usize, side: usize| start / side..=(start + length - 1) / side;
        touched(window.row, window.height, self.size.height)
            .all(|row| touched(window.col, window.width, self.size.width).all(|col| self.is_absent(col, row)))
    }

    /// Hides the pixels of blocks that the file does not have: what is read there is nothing that anybody has seen.
    pub(super) fn hide_absent(&self, request: &ReadRequest, valid: &mut Array2<bool>) {
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
        self.bands.iter().all(|band| band.metadata_item(&item, "TIFF").is_none())
    }
}
