//! Tiles over a scene.

use serde::{Deserialize, Serialize};

use super::{Size, Window};

/// The windows of a scene's tiles, row by row from the upper left.
///
/// All tiles have one size (the scene's own where the scene is smaller). Neighbours share `overlap` pixels; the last
/// column and the last row are shifted inward instead of padded, so they share more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "GridFields")]
pub struct TileGrid {
    scene: Size,
    tile: Size,
    overlap: usize,
    columns: usize,
    rows: usize,
}

impl TileGrid {
    /// Lays tiles of `tile` pixels with `overlap` shared pixels over a scene.
    ///
    /// # Errors
    /// [`GridError`] if scene or tile is empty, or the overlap is not smaller than the tile's shorter side.
    pub fn try_new(scene: Size, tile: Size, overlap: usize) -> Result<Self, GridError> {
        if scene.is_empty() {
            return Err(GridError::EmptyScene { scene });
        }
        if tile.is_empty() {
            return Err(GridError::EmptyTile { tile });
        }
        if overlap >= tile.width.min(tile.height) {
            return Err(GridError::Overlap { overlap, tile });
        }
        let count = |length: usize, side: usize| {
            tiles_along(length, side, overlap).ok_or(GridError::Overlap { overlap, tile })
        };
        let columns = count(scene.width, tile.width)?;
        let rows = count(scene.height, tile.height)?;
        let tile = Size { width: tile.width.min(scene.width), height: tile.height.min(scene.height) };
        Ok(Self { scene, tile, overlap, columns, rows })
    }

    /// Size of the scene.
    pub fn scene(&self) -> Size {
        self.scene
    }

    /// Size of every tile.
    pub fn tile(&self) -> Size {
        self.tile
    }

    /// Pixels that neighbours share (more at the right and the lower edge).
    pub fn overlap(&self) -> usize {
        self.overlap
    }

    /// Tiles in a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Rows of tiles.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of tiles; never 0.
    pub fn count(&self) -> usize {
        self.columns.saturating_mul(self.rows)
    }

    /// The window of tile `index`, counted row by row; `None` past the end.
    pub fn window(&self, index: usize) -> Option<Window> {
        if index >= self.count() {
            return None;
        }
        let origin = |position: usize, side: usize, length: usize| {
            position.saturating_mul(side.saturating_sub(self.overlap)).min(length - side)
        };
        Some(Window {
            col: origin(index % self.columns, self.tile.width, self.scene.width),
            row: origin(index / self.columns, self.tile.height, self.scene.height),
            width: self.tile.width,
            height: self.tile.height,
        })
    }

    /// All windows in order.
    pub fn windows(&self) -> impl Iterator<Item = Window> + '_ {
        (0..self.count()).filter_map(|index| self.window(index))
    }
}

/// How many tiles of a side cover a length; `None` if they would not advance.
fn tiles_along(length: usize, side: usize, overlap: usize) -> Option<usize> {
    if length <= side {
        return Some(1);
    }
    let step = side.checked_sub(overlap).filter(|&step| step > 0)?;
    Some((length - side).div_ceil(step).saturating_add(1))
}

/// A grid as it is written down: it may have been written by anybody.
#[derive(Deserialize)]
struct GridFields {
    scene: Size,
    tile: Size,
    overlap: usize,
    columns: usize,
    rows: usize,
}

impl TryFrom<GridFields> for TileGrid {
    type Error = GridError;

    fn try_from(fields: GridFields) -> Result<Self, GridError> {
        let GridFields { scene, tile, overlap, columns, rows } = fields;
        let is_laid = |length: usize, side: usize, count: usize| {
            side > 0 && side <= length && tiles_along(length, side, overlap) == Some(count)
        };
        if !is_laid(scene.width, tile.width, columns) || !is_laid(scene.height, tile.height, rows) {
            return Err(GridError::Contradiction { scene, tile, columns, rows });
        }
        Ok(Self { scene, tile, overlap, columns, rows })
    }
}

/// A grid that cannot be laid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GridError {
    /// The scene has no pixels.
    #[error("the scene has no pixels: {scene}")]
    EmptyScene {
        /// Size of the scene.
        scene: Size,
    },
    /// The tile has no pixels.
    #[error("the tile has no pixels: {tile}")]
    EmptyTile {
        /// Size of the tile.
        tile: Size,
    },
    /// Tiles would not advance.
    #[error("overlap of {overlap} px: expected less than the tile's side, found a tile of {tile} px")]
    Overlap {
        /// Shared pixels that were asked for.
        overlap: usize,
        /// Size of the tile.
        tile: Size,
    },
    /// A grid that was written down does not agree with itself.
    #[error("{columns} by {rows} tiles of {tile} px do not cover a scene of {scene} px as they should")]
    Contradiction {
        /// Size of the scene.
        scene: Size,
        /// Size of the tile.
        tile: Size,
        /// Tiles in a row.
        columns: usize,
        /// Rows of tiles.
        rows: usize,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn size(width: usize, height: usize) -> Size {
        Size { width, height }
    }

    #[test]
    fn the_last_column_is_shifted_inward() {
        let grid = TileGrid::try_new(size(10, 4), size(4, 4), 0).unwrap();
        assert_eq!(grid.windows().map(|window| window.col).collect::<Vec<_>>(), [0, 4, 6]);
    }

    #[test]
    fn a_scene_smaller_than_a_tile_is_one_tile() {
        let grid = TileGrid::try_new(size(3, 1), size(224, 224), 100).unwrap();
        assert_eq!(grid.windows().collect::<Vec<_>>(), [Window::whole(size(3, 1))]);
    }

    #[test]
    fn a_scene_thinner_than_the_overlap_still_advances() {
        let grid = TileGrid::try_new(size(500, 20), size(100, 100), 50).unwrap();
        assert_eq!(grid.rows(), 1);
        assert_eq!(grid.windows().last().map(|window| window.col), Some(400));
    }

    #[test]
    fn empty_scenes_and_overlaps_that_do_not_advance_are_refused() {
        assert!(matches!(TileGrid::try_new(size(0, 5), size(2, 2), 0), Err(GridError::EmptyScene { .. })));
        assert!(matches!(TileGrid::try_new(size(5, 5), size(2, 0), 0), Err(GridError::EmptyTile { .. })));
        assert!(matches!(TileGrid::try_new(size(5, 5), size(4, 2), 2), Err(GridError::Overlap { .. })));
    }

    #[test]
    fn a_grid_that_was_written_down_comes_back_only_if_it_agrees_with_itself() {
        let thin = TileGrid::try_new(size(500, 20), size(100, 100), 50).unwrap();
        let text = serde_json::to_string(&thin).unwrap();
        assert_eq!(serde_json::from_str::<TileGrid>(&text).unwrap(), thin);
        let contradictions = [
            ("\"columns\":9", "\"columns\":0"),
            ("\"columns\":9", "\"columns\":18446744073709551615"),
            ("\"overlap\":50", "\"overlap\":100"),
            ("\"width\":100", "\"width\":501"),
            ("\"width\":500", "\"width\":0"),
        ];
        for (sound, wrong) in contradictions {
            assert!(text.contains(sound), "{text}");
            assert!(serde_json::from_str::<TileGrid>(&text.replace(sound, wrong)).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn tiles_cover_the_scene_and_stay_inside(
            width in 1usize..90, height in 1usize..90, side in 1usize..40, aspect in 1usize..40, share in 0.0f64..1.0
        ) {
            let tile = size(side, aspect);
            let overlap = (share * side.min(aspect) as f64) as usize;
            let scene = size(width, height);
            let grid = TileGrid::try_new(scene, tile, overlap).unwrap();
            let mut covered = vec![false; scene.pixels()];
            let mut seen = std::collections::HashSet::new();
            for window in grid.windows() {
                prop_assert!(window.is_inside(scene));
                prop_assert_eq!(window.size(), size(side.min(width), aspect.min(height)));
                prop_assert!(seen.insert(window), "{} twice", window);
                for row in window.row..window.row + window.height {
                    covered[row * width + window.col..][..window.width].fill(true);
                }
            }
            prop_assert!(covered.iter().all(|&pixel| pixel));
            prop_assert_eq!(grid.windows().count(), grid.count());
        }
    }
}
