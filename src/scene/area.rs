//! The part of a scene that is asked for, as tiles of the scene's own grid.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::SceneError;
use crate::geo::{Area, AreaError, Overlap, TileGrid, Window};
use crate::raster::Raster;

/// Longest file of polygons, bytes.
const MAX_GEOMETRY_BYTES: u64 = 64 << 20;

/// A part of a scene.
#[derive(Debug, Clone, PartialEq)]
pub enum SceneArea {
    /// A rectangle of pixels.
    Pixels(Window),
    /// A part of the globe.
    Globe {
        /// The polygons.
        area: Area,
        /// What was asked for, for the record.
        asked: String,
    },
}

impl SceneArea {
    /// A box in degrees: west, south, east, north.
    ///
    /// # Errors
    /// [`AreaError::Box`].
    pub fn from_bounds(bounds: [f64; 4]) -> Result<Self, AreaError> {
        let [west, south, east, north] = bounds;
        Ok(Self::Globe {
            area: Area::from_bounds(bounds)?,
            asked: format!("box {west},{south},{east},{north}"),
        })
    }

    /// The polygons of a GeoJSON file.
    ///
    /// # Errors
    /// [`SceneAreaError`].
    pub fn from_file(path: &Path) -> Result<Self, SceneAreaError> {
        let unreadable = |source| SceneAreaError::Unreadable { path: path.to_path_buf(), source };
        let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
        if bytes > MAX_GEOMETRY_BYTES {
            return Err(SceneAreaError::TooLong {
                path: path.to_path_buf(),
                bytes,
                limit: MAX_GEOMETRY_BYTES,
            });
        }
        let text = std::fs::read(path).map_err(unreadable)?;
        let value = serde_json::from_slice(&text)
            .map_err(|source| SceneAreaError::NotJson { path: path.to_path_buf(), source })?;
        let area = Area::from_geojson(&value)
            .map_err(|source| SceneAreaError::NotAnArea { path: path.to_path_buf(), source })?;
        // Of the digest as much as tells two files apart.
        let digest = Sha256::digest(&text).iter().take(8).fold(String::new(), |mut digest, byte| {
            let _ = write!(digest, "{byte:02x}");
            digest
        });
        let asked = format!("{} polygons, sha256 {digest}", area.polygon_count());
        Ok(Self::Globe { area, asked })
    }
}

/// A file of polygons that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SceneAreaError {
    /// There is no such file, or it may not be read.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// More than any area needs.
    #[error("{}: {bytes} bytes: expected at most {limit}", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// No JSON.
    #[error("{}: not GeoJSON", path.display())]
    NotJson {
        /// The file.
        path: PathBuf,
        /// Where it ends to be JSON.
        source: serde_json::Error,
    },
    /// No polygons in WGS84.
    #[error("{}: not an area", path.display())]
    NotAnArea {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: AreaError,
    },
}

/// The tiles of a run that does a part of its scene.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AreaFacts {
    /// What was asked for: `pixels COL,ROW,WIDTH,HEIGHT`, `box WEST,SOUTH,EAST,NORTH`, `N polygons, sha256 ...`.
    pub asked: String,
    /// Indexes of the tiles in the grid: spans of the first one and the one after the last, ascending.
    pub tiles: Vec<[usize; 2]>,
}

impl AreaFacts {
    /// Finds the tiles that lie in an area, wholly or in part.
    ///
    /// # Errors
    /// [`SceneError::AreaOutside`] if there is none, [`SceneError::AreaWithoutPlace`].
    pub(super) fn select(raster: &Raster, grid: &TileGrid, area: &SceneArea) -> Result<Self, SceneError> {
        let mut facts = match area {
            SceneArea::Pixels(window) => {
                let asked =
                    format!("pixels {},{},{},{}", window.col, window.row, window.width, window.height);
                let mut facts = Self { asked, tiles: Vec::new() };
                facts.add_block(grid, Block::whole(grid), &|block| match block.intersect(*window) {
                    None => Overlap::None,
                    Some(part) if part == block => Overlap::Whole,
                    Some(_) => Overlap::Part,
                });
                facts
            }
            SceneArea::Globe { area, asked } => {
                if raster.footprint(Window { width: 1, height: 1, ..middle(grid) }).is_none() {
                    return Err(SceneError::AreaWithoutPlace { path: raster.info().path.clone() });
                }
                let mut facts = Self { asked: asked.clone(), tiles: Vec::new() };
                facts.add_block(grid, Block::whole(grid), &|block| {
                    // Of a block that leads off the globe nothing is known, but its tiles may lie on it.
                    raster.footprint(block).map_or(Overlap::Part, |footprint| area.overlap(&footprint))
                });
                facts
            }
        };
        facts.join();
        if facts.tiles.is_empty() {
            let scene = raster.footprint(Window::whole(grid.scene())).map(|footprint| footprint.bounds());
            let (path, asked) = (raster.info().path.clone(), facts.asked);
            return Err(SceneError::AreaOutside { path, asked, size: grid.scene(), scene });
        }
        Ok(facts)
    }

    /// Number of tiles.
    pub fn count(&self) -> usize {
        self.tiles.iter().map(|[start, end]| end - start).sum()
    }

    /// Indexes of the tiles `from..to` of this area, counted from its first.
    pub(super) fn indexes(&self, from: usize, to: usize) -> impl Iterator<Item = usize> + '_ {
        let mut before = 0;
        self.tiles.iter().flat_map(move |&[start, end]| {
            let (low, high) = (from.max(before), to.min(before + end - start));
            let span = if low < high { start + low - before..start + high - before } else { 0..0 };
            before += end - start;
            span
        })
    }

    /// Adds the tiles of a block that overlap: all of them, none, or those of its quarters.
    fn add_block(&mut self, grid: &TileGrid, block: Block, overlap: &dyn Fn(Window) -> Overlap) {
        let Some(window) = block.window(grid) else { return };
        match overlap(window) {
            Overlap::None => {}
            Overlap::Part if block.count() > 1 => {
                block.quarters().into_iter().for_each(|quarter| self.add_block(grid, quarter, overlap));
            }
            Overlap::Whole | Overlap::Part => {
                let row =
                    |row: usize| [row * grid.columns() + block.left, row * grid.columns() + block.right];
                self.tiles.extend((block.top..block.bottom).map(row));
            }
        }
    }

    /// Sorts the spans and joins neighbours.
    fn join(&mut self) {
        self.tiles.sort_unstable();
        let mut joined: Vec<[usize; 2]> = Vec::new();
        for &[start, end] in &self.tiles {
            match joined.last_mut() {
                Some(last) if last[1] == start => last[1] = end,
                _ => joined.push([start, end]),
            }
        }
        self.tiles = joined;
    }
}

/// A rectangle of tiles: columns and rows of the grid, the ends not included.
#[derive(Clone, Copy)]
struct Block {
    left: usize,
    right: usize,
    top: usize,
    bottom: usize,
}

impl Block {
    fn whole(grid: &TileGrid) -> Self {
        Self { left: 0, right: grid.columns(), top: 0, bottom: grid.rows() }
    }

    fn count(self) -> usize {
        (self.right - self.left) * (self.bottom - self.top)
    }

    /// The pixels of its tiles.
    fn window(self, grid: &TileGrid) -> Option<Window> {
        if self.count() == 0 {
            return None;
        }
        let first = grid.window(self.top * grid.columns() + self.left)?;
        let last = grid.window((self.bottom - 1) * grid.columns() + self.right - 1)?;
        let (width, height) = (last.col + last.width - first.col, last.row + last.height - first.row);
        Some(Window { width, height, ..first })
    }

    fn quarters(self) -> [Self; 4] {
        let (col, row) = (self.left.midpoint(self.right), self.top.midpoint(self.bottom));
        [
            Self { right: col, bottom: row, ..self },
            Self { left: col, bottom: row, ..self },
            Self { right: col, top: row, ..self },
            Self { left: col, top: row, ..self },
        ]
    }
}

/// A pixel in the middle of the scene.
fn middle(grid: &TileGrid) -> Window {
    let size = grid.scene();
    Window { col: size.width / 2, row: size.height / 2, width: 1, height: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::Size;

    fn facts(tiles: &[[usize; 2]]) -> AreaFacts {
        AreaFacts { asked: String::new(), tiles: tiles.to_vec() }
    }

    #[test]
    fn spans_are_counted_through() {
        let area = facts(&[[3, 5], [10, 13], [20, 21]]);
        assert_eq!(area.count(), 6);
        assert_eq!(area.indexes(0, 6).collect::<Vec<_>>(), [3, 4, 10, 11, 12, 20]);
        assert_eq!(area.indexes(1, 4).collect::<Vec<_>>(), [4, 10, 11]);
        assert_eq!(area.indexes(5, 9).collect::<Vec<_>>(), [20]);
    }

    #[test]
    fn blocks_find_the_tiles_that_a_look_at_every_tile_finds() {
        let grid =
            TileGrid::try_new(Size { width: 100, height: 70 }, Size { width: 9, height: 9 }, 2).unwrap();
        for (col, row, width, height) in [(0, 0, 100, 70), (13, 20, 1, 1), (30, 0, 40, 70), (95, 65, 50, 50)]
        {
            let wanted = Window { col, row, width, height };
            let overlap = |block: Window| match block.intersect(wanted) {
                None => Overlap::None,
                Some(part) if part == block => Overlap::Whole,
                Some(_) => Overlap::Part,
            };
            let mut area = facts(&[]);
            area.add_block(&grid, Block::whole(&grid), &overlap);
            area.join();
            let expected: Vec<usize> = (0..grid.count())
                .filter(|&index| grid.window(index).is_some_and(|window| window.intersect(wanted).is_some()))
                .collect();
            assert_eq!(area.indexes(0, grid.count()).collect::<Vec<_>>(), expected, "{wanted}");
        }
    }
}
