//! Outlines of windows on the globe, as RFC 7946 wants them.

use super::Window;

/// Segments per edge that are projected before simplification.
const SEGMENTS: usize = 16;
/// Largest distance, in degrees, between an edge and the points left out of it (about 0.1 m on the ground).
const TOLERANCE_DEGREES: f64 = 1e-6;
/// Decimals kept: 7 is about a centimetre.
const DECIMALS: f64 = 1e7;

/// A closed ring of (longitude, latitude) in degrees, counter-clockwise, last point equal to the first.
pub type Ring = Vec<(f64, f64)>;

/// The outline of a window in WGS84: one ring, or several where it crosses the antimeridian.
#[derive(Debug, Clone, PartialEq)]
pub struct Footprint {
    rings: Vec<Ring>,
}

impl Footprint {
    /// Pixel positions (col, row) along the outline of a window, clockwise in pixel space from the upper left corner,
    /// 16 to an edge, not closed: what [`Footprint::from_outline`] wants to have projected.
    pub fn outline(window: Window) -> Vec<(f64, f64)> {
        let (left, top) = (window.col as f64, window.row as f64);
        let (right, bottom) = (left + window.width as f64, top + window.height as f64);
        let corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
        let mut points = Vec::with_capacity(4 * SEGMENTS);
        for (index, &(col, row)) in corners.iter().enumerate() {
            let (next_col, next_row) = corners[(index + 1) % 4];
            for step in 0..SEGMENTS {
                let share = step as f64 / SEGMENTS as f64;
                points.push((col + (next_col - col) * share, row + (next_row - row) * share));
            }
        }
        points
    }

    /// Builds the footprint from the projected outline: (longitude, latitude) in degrees, in the order of
    /// [`Footprint::outline`].
    ///
    /// Longitudes may jump by 360 degrees anywhere. `None` if a point is not finite or not on the globe.
    pub fn from_outline(projected: &[(f64, f64)]) -> Option<Self> {
        let on_globe = |&(longitude, latitude): &(f64, f64)| {
            longitude.is_finite()
                && longitude.abs() <= 720.0
                && latitude.is_finite()
                && latitude.abs() <= 90.0 + 1e-6
        };
        if projected.len() != 4 * SEGMENTS || !projected.iter().all(on_globe) {
            return None;
        }
        let mut points = unwrap_longitudes(projected);
        let turn = closing_turn(&points);
        points = thin_edges(&points, turn);
        if turn != 0.0 {
            enclose_pole(&mut points, turn);
        }
        let mut rings = split_at_antimeridian(&points);
        for ring in &mut rings {
            finish(ring);
        }
        (!rings.is_empty()).then_some(Self { rings })
    }

    /// The exterior rings; more than one makes a `MultiPolygon`.
    pub fn rings(&self) -> &[Ring] {
        &self.rings
    }

    /// The GeoJSON geometry: a `Polygon`, or a `MultiPolygon` where the antimeridian cuts it.
    pub fn to_geojson(&self) -> serde_json::Value {
        let ring = |ring: &Ring| ring.iter().map(|&(x, y)| serde_json::json!([x, y])).collect::<Vec<_>>();
        match self.rings.as_slice() {
            [only] => serde_json::json!({"type": "Polygon", "coordinates": [ring(only)]}),
            many => {
                let polygons: Vec<_> = many.iter().map(|each| vec![ring(each)]).collect();
                serde_json::json!({"type": "MultiPolygon", "coordinates": polygons})
            }
        }
    }
}

/// Adds multiples of 360 so that no step between neighbours is longer than 180 degrees.
fn unwrap_longitudes(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut unwrapped: Vec<(f64, f64)> = Vec::with_capacity(points.len());
    for &(longitude, latitude) in points {
        let near = unwrapped.last().map_or(longitude, |&(previous, _)| nearest_turn(longitude, previous));
        unwrapped.push((near, latitude.clamp(-90.0, 90.0)));
    }
    unwrapped
}

/// The longitude that names the same meridian and lies within half a turn of `reference`.
fn nearest_turn(longitude: f64, reference: f64) -> f64 {
    let turns = ((longitude - reference) / 360.0).abs();
    // A step of exactly half a turn stays as it is.
    if turns <= 0.5 { longitude } else { longitude - 360.0 * ((longitude - reference) / 360.0).round() }
}

/// 0 for a ring that comes back to where it began, else the full turn (360 or -360) that it makes around a pole.
fn closing_turn(points: &[(f64, f64)]) -> f64 {
    match (points.first(), points.last()) {
        (Some(&(first, _)), Some(&(last, _))) => nearest_turn(first, last) - first,
        _ => 0.0,
    }
}

/// Keeps of every edge only the points that its shape needs: 1, 2, 4, 8 or 16 segments.
fn thin_edges(points: &[(f64, f64)], turn: f64) -> Vec<(f64, f64)> {
    let at = |index: usize| {
        let (longitude, latitude) = points[index % points.len()];
        (if index >= points.len() { longitude + turn } else { longitude }, latitude)
    };
    let mut kept = Vec::new();
    for edge in 0..4 {
        let start = edge * SEGMENTS;
        let mut step = SEGMENTS;
        while step > 1 && !is_straight(&(start..=start + SEGMENTS).map(at).collect::<Vec<_>>(), step) {
            step /= 2;
        }
        kept.extend((start..start + SEGMENTS).step_by(step).map(at));
    }
    kept
}

/// True if every point lies within the tolerance of the chords between each `step`-th point.
fn is_straight(points: &[(f64, f64)], step: usize) -> bool {
    (0..points.len() - 1).step_by(step).all(|start| {
        let (from, to) = (points[start], points[start + step]);
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.hypot(dy);
        points[start..=start + step].iter().all(|point| {
            let (px, py) = (point.0 - from.0, point.1 - from.1);
            let away = if length > 0.0 { (dx * py - dy * px).abs() / length } else { px.hypot(py) };
            away <= TOLERANCE_DEGREES
        })
    })
}

/// Leads a ring that runs once around the globe along its own end meridian to the pole and back.
fn enclose_pole(points: &mut Vec<(f64, f64)>, turn: f64) {
    let mean = points.iter().map(|point| point.1).sum::<f64>() / points.len() as f64;
    let pole = if mean >= 0.0 { 90.0 } else { -90.0 };
    if let Some(&(longitude, latitude)) = points.first() {
        points.push((longitude + turn, latitude));
        points.push((longitude + turn, pole));
        points.push((longitude, pole));
    }
}

/// Cuts a ring at the meridians 180 + 360 k and shifts every piece into -180..=180.
fn split_at_antimeridian(points: &[(f64, f64)]) -> Vec<Ring> {
    let (west, east) = points
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), point| (low.min(point.0), high.max(point.0)));
    let first = ((west + 180.0) / 360.0).floor();
    let last = (((east + 180.0) / 360.0).ceil() - 1.0).max(first);
    let mut rings = Vec::new();
    let mut strip = first;
    while strip <= last {
        let (low, high) = (strip * 360.0 - 180.0, strip * 360.0 + 180.0);
        let piece = clip(&clip(points, low, 1.0), high, -1.0);
        if piece.len() >= 3 {
            rings.push(
                piece.into_iter().map(|(x, y)| ((x - strip * 360.0).clamp(-180.0, 180.0), y)).collect(),
            );
        }
        strip += 1.0;
    }
    rings
}

/// The part of a ring on one side of a meridian: east of it for `side` 1, west of it for -1 (Sutherland-Hodgman).
fn clip(points: &[(f64, f64)], meridian: f64, side: f64) -> Vec<(f64, f64)> {
    let mut kept = Vec::new();
    for (index, &to) in points.iter().enumerate() {
        let from = points[(index + points.len() - 1) % points.len()];
        let (before, after) = ((from.0 - meridian) * side, (to.0 - meridian) * side);
        if (before > 0.0 && after < 0.0) || (before < 0.0 && after > 0.0) {
            kept.push((meridian, from.1 + (to.1 - from.1) * before / (before - after)));
        }
        if after >= 0.0 {
            kept.push(to);
        }
    }
    kept
}

/// Counter-clockwise, rounded, closed.
fn finish(ring: &mut Ring) {
    let area: f64 = (0..ring.len())
        .map(|index| {
            let (from, to) = (ring[index], ring[(index + 1) % ring.len()]);
            from.0 * to.1 - to.0 * from.1
        })
        .sum();
    if area < 0.0 {
        ring.reverse();
    }
    let round = |degrees: f64| (degrees * DECIMALS).round() / DECIMALS + 0.0;
    for point in ring.iter_mut() {
        *point = (round(point.0), round(point.1));
    }
    if let Some(&first) = ring.first() {
        ring.push(first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { col: 10, row: 20, width: 30, height: 40 };

    fn footprint(project: impl Fn(f64, f64) -> (f64, f64)) -> Option<Footprint> {
        let projected: Vec<_> =
            Footprint::outline(WINDOW).into_iter().map(|(col, row)| project(col, row)).collect();
        Footprint::from_outline(&projected)
    }

    fn area(ring: &Ring) -> f64 {
        ring.windows(2).map(|pair| pair[0].0 * pair[1].1 - pair[1].0 * pair[0].1).sum::<f64>() / 2.0
    }

    #[test]
    fn straight_edges_keep_their_corners_only_and_turn_counter_clockwise() {
        let north_up = footprint(|col, row| (8.0 + col * 0.01, 50.0 - row * 0.01)).unwrap();
        assert_eq!(north_up.rings().len(), 1);
        assert_eq!(north_up.rings()[0].len(), 5);
        assert!((area(&north_up.rings()[0]) - 0.3 * 0.4).abs() < 1e-9);
        let south_up = footprint(|col, row| (8.0 + col * 0.01, 50.0 + row * 0.01)).unwrap();
        assert!(area(&south_up.rings()[0]) > 0.0);
    }

    #[test]
    fn curved_edges_keep_the_points_they_need() {
        let curved =
            footprint(|col, row| (8.0 + col * 0.1, 50.0 - row * 0.01 + (col - 25.0).powi(2) * 1e-3)).unwrap();
        assert_eq!(curved.rings()[0].len(), 1 + 2 * SEGMENTS + 2);
    }

    #[test]
    fn the_antimeridian_splits_a_window_in_two() {
        let wrap = |longitude: f64| if longitude > 180.0 { longitude - 360.0 } else { longitude };
        let split = footprint(|col, row| (wrap(179.8 + (col - 10.0) * 0.01), 10.0 - row * 0.01)).unwrap();
        assert_eq!(split.rings().len(), 2);
        let total: f64 = split.rings().iter().map(area).sum();
        assert!((total - 0.3 * 0.4).abs() < 1e-6, "{total}");
        assert!(split.rings().iter().flatten().all(|point| point.0.abs() <= 180.0));
        let beyond = footprint(|col, row| (179.8 + (col - 10.0) * 0.01, 10.0 - row * 0.01)).unwrap();
        assert_eq!(split, beyond, "longitudes past 180 mean the same place");
        assert_eq!(split.to_geojson()["type"], "MultiPolygon");
    }

    #[test]
    fn the_whole_globe_is_one_ring_and_a_raster_from_0_to_360_two() {
        let globe = footprint(|col, row| (-180.0 + (col - 10.0) * 12.0, 90.0 - (row - 20.0) * 4.5)).unwrap();
        assert_eq!(globe.rings().len(), 1);
        assert!((area(&globe.rings()[0]) - 360.0 * 180.0).abs() < 1e-6);
        let pacific = footprint(|col, row| ((col - 10.0) * 12.0, 90.0 - (row - 20.0) * 4.5)).unwrap();
        assert_eq!(pacific.rings().len(), 2);
    }

    #[test]
    fn a_window_around_the_pole_holds_the_pole() {
        let polar = footprint(|col, row| {
            let (x, y) = (col - 25.0, row - 40.0);
            (y.atan2(x).to_degrees(), 90.0 - x.hypot(y))
        })
        .unwrap();
        assert!(polar.rings().iter().flatten().any(|point| (point.1 - 90.0).abs() < 1e-9));
        let total: f64 = polar.rings().iter().map(area).sum();
        assert!(total > 360.0 * 15.0, "{total}");
    }

    #[test]
    fn places_off_the_globe_have_no_footprint() {
        assert_eq!(footprint(|col, row| (col * 1e9, row)), None);
        assert_eq!(footprint(|_, _| (f64::NAN, 0.0)), None);
        assert_eq!(footprint(|col, _| (col, 91.0)), None);
    }

    #[test]
    fn coordinates_have_at_most_seven_decimals() {
        let thirds = footprint(|col, row| (col / 3.0, row / 7.0)).unwrap();
        for &(x, y) in &thirds.rings()[0] {
            for number in [x, y] {
                let text = number.to_string();
                assert!(text.split('.').nth(1).is_none_or(|decimals| decimals.len() <= 7), "{text}");
            }
        }
    }
}
