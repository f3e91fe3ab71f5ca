//! Any projected outline, and any JSON as a geometry: rings are closed, on the globe and counter-clockwise, and are written in full.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rsmoe::geo::{Footprint, Ring, Window};
use rsmoe::vector::{Outline, Shape};

/// Rounding to 1e-7 degrees may turn a sliver over: what its area may be below 0, square degrees.
const SLIVER: f64 = 1e-3;

/// Points that an outline is drawn through.
const POINTS: usize = 64;

#[derive(Arbitrary, Debug)]
enum Input {
    /// Longitude and latitude as shares of 720 and 90 degrees.
    Shares(Box<[(i32, i32); POINTS]>),
    Degrees(Box<[(f64, f64); POINTS]>),
    GeoJson(Vec<u8>),
}

fuzz_target!(|input: Input| {
    let projected: Vec<(f64, f64)> = match input {
        Input::Shares(points) => {
            let share = |part: i32| f64::from(part) / f64::from(i32::MAX);
            points.iter().map(|&(x, y)| (share(x) * 720.0, share(y) * 90.0)).collect()
        }
        Input::Degrees(points) => points.to_vec(),
        Input::GeoJson(text) => {
            if let Some(outline) =
                serde_json::from_slice(&text).ok().and_then(|value| Outline::from_geojson(&value))
            {
                check_binary(&outline, None);
            }
            return;
        }
    };
    let window = Window { col: 0, row: 0, width: 512, height: 512 };
    let Some(footprint) = Footprint::trace(window, |positions| Some(drawn(&projected, positions.len())))
    else {
        return;
    };
    for ring in footprint.rings() {
        assert!(ring.len() >= 4 && ring.first() == ring.last(), "{ring:?} is not closed");
        assert!(ring.iter().all(|&(x, y)| x.abs() <= 180.0 && y.abs() <= 90.0), "{ring:?} is off the globe");
        assert!(area(ring) > -SLIVER, "{ring:?} is clockwise");
    }
    let outline =
        Outline::from_geojson(&footprint.to_geojson()).expect("a footprint is a polygon or several");
    check_binary(&outline, Some(footprint.rings()));
});

/// So many positions along the closed line through `points`, from its first point on.
fn drawn(points: &[(f64, f64)], count: usize) -> Vec<(f64, f64)> {
    let place = |index: usize| {
        let along = (index * points.len()) as f64 / count as f64;
        let (from, share) = (along as usize, along.fract());
        let ((x, y), (next_x, next_y)) = (points[from], points[(from + 1) % points.len()]);
        (x + (next_x - x) * share, y + (next_y - y) * share)
    };
    (0..count).map(place).collect()
}

fn area(ring: &Ring) -> f64 {
    ring.windows(2).map(|pair| pair[0].0 * pair[1].1 - pair[1].0 * pair[0].1).sum::<f64>() / 2.0
}

/// The well-known binary has all points, in either shape.
fn check_binary(outline: &Outline, rings: Option<&[Ring]>) {
    let bounds = outline.bounds();
    assert!(bounds.west <= bounds.east && bounds.south <= bounds.north);
    let multi = outline.to_wkb(Shape::MultiPolygon);
    let single = outline.to_wkb(Shape::Polygon);
    let heads = usize::from(outline.shape() == Shape::Polygon) * 9;
    assert_eq!(multi.len(), single.len() + heads);
    if let Some(rings) = rings {
        let points: usize = rings.iter().map(Vec::len).sum();
        // A head for all, and for each ring the head of its polygon and its number of points.
        assert_eq!(multi.len(), 9 + rings.len() * (9 + 4) + points * 16);
    }
}
