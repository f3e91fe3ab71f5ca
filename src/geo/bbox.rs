//! The box around a footprint, as RFC 7946 wants it.

use super::Footprint;

impl Footprint {
    /// West, south, east, north, degrees. A box across the antimeridian has its west east of its east (RFC 7946, section 5.2).
    pub fn bbox(&self) -> [f64; 4] {
        let bounds = |numbers: &mut dyn Iterator<Item = f64>| {
            numbers.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), number| {
                (low.min(number), high.max(number))
            })
        };
        let (south, north) = bounds(&mut self.rings().iter().flatten().map(|point| point.1));
        let spans: Vec<(f64, f64)> =
            self.rings().iter().map(|ring| bounds(&mut ring.iter().map(|point| point.0))).collect();
        let (west, east) = bounds(&mut spans.iter().flat_map(|&(west, east)| [west, east]));
        let is_cut = spans.len() > 1 && west <= -180.0 && east >= 180.0;
        if !is_cut {
            return [west, south, east, north];
        }
        // What ends at 180 degrees begins in the west of the box, what begins at -180 ends in its east.
        let begins =
            spans.iter().filter(|span| span.1 >= 180.0).map(|span| span.0).fold(f64::INFINITY, f64::min);
        let ends =
            spans.iter().filter(|span| span.0 <= -180.0).map(|span| span.1).fold(f64::NEG_INFINITY, f64::max);
        if begins > ends { [begins, south, ends, north] } else { [-180.0, south, 180.0, north] }
    }
}

#[cfg(test)]
mod tests {
    use crate::geo::{Footprint, Window};

    /// In units of the last decimal of a footprint, 1e-7 degrees.
    fn bbox(west: f64, width: f64) -> [i64; 4] {
        let window = Window { col: 0, row: 0, width: 100, height: 100 };
        let project = |pixels: &[(f64, f64)]| {
            Some(pixels.iter().map(|(col, row)| (west + col / 100.0 * width, 10.0 - row / 100.0)).collect())
        };
        Footprint::trace(window, project).unwrap().bbox().map(|degrees| (degrees * 1e7).round() as i64)
    }

    #[test]
    fn a_box_across_the_antimeridian_has_its_west_east_of_its_east() {
        let degrees = |whole: i64| whole * 10_000_000;
        assert_eq!(bbox(8.0, 2.0), [8, 9, 10, 10].map(degrees));
        assert_eq!(bbox(179.0, 3.0), [179, 9, -178, 10].map(degrees));
        assert_eq!(bbox(-180.0, 360.0), [-180, 9, 180, 10].map(degrees));
        assert_eq!(bbox(0.0, 360.0), [-180, 9, 180, 10].map(degrees));
    }
}
