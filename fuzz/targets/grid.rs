//! Any sizes: the tiles lie inside the scene and cover it, whatever the sizes; a grid that was written down comes back.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rsmoe::geo::{Size, TileGrid, Window};

/// Rows and columns that are gone through one by one here.
const FEW: usize = 1 << 12;

#[derive(Arbitrary, Debug)]
struct Input {
    scene: (usize, usize),
    tile: (usize, usize),
    overlap: usize,
    /// Which tile of a grid that is too large to go through.
    index: usize,
    /// A grid that somebody wrote.
    text: Vec<u8>,
}

fuzz_target!(|input: Input| {
    if let Ok(grid) = serde_json::from_slice::<TileGrid>(&input.text) {
        check(&grid, input.index);
    }
    let size = |(width, height)| Size { width, height };
    let Ok(grid) = TileGrid::try_new(size(input.scene), size(input.tile), input.overlap) else { return };
    check(&grid, input.index);
    let text = serde_json::to_string(&grid).expect("a grid is plain data");
    assert_eq!(serde_json::from_str::<TileGrid>(&text).expect("what was written can be read"), grid);
});

fn check(grid: &TileGrid, index: usize) {
    let at = |index: usize| grid.window(index).expect("the grid has this tile");
    assert!(at(index % grid.count()).is_inside(grid.scene()));
    assert_eq!(grid.window(grid.count()), None);
    if grid.columns() <= FEW {
        let spans = (0..grid.columns()).map(at).map(|Window { col, width, .. }| (col, width));
        assert_covered(spans, grid.scene().width);
    }
    // A product that does not fit is no number of tiles; runs refuse such grids.
    if grid.rows() <= FEW && grid.columns().checked_mul(grid.rows()).is_some() {
        let spans = (0..grid.rows()).map(|row| at(row * grid.columns()));
        assert_covered(spans.map(|Window { row, height, .. }| (row, height)), grid.scene().height);
    }
}

/// Spans (start, length) in order that leave no gap from 0 to `length`.
fn assert_covered(spans: impl Iterator<Item = (usize, usize)>, length: usize) {
    let mut end = 0;
    let mut previous = None;
    for (start, span) in spans {
        assert!(
            start <= end && previous.is_none_or(|previous| start > previous),
            "{start} after {previous:?}"
        );
        (end, previous) = (start + span, Some(start));
    }
    assert_eq!(end, length);
}
