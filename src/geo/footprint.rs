//! Outlines of windows on the globe, as RFC 7946 wants them.

use super::Window;

/// Segments per edge that are projected before simplification: more where the edge is not yet smooth, as beside a pole.
const SEGMENTS: [usize; 3] = [16, 64, 256];
/// Largest distance between an edge and the points left out of it, as a share of a pixel.
const TOLERANCE_PX: f64 = 0.01;
/// That distance is never less than this, in degrees of latitude (about 0.1 m on the ground).
const LEAST_TOLERANCE_DEGREES: f64 = 1e-6;
/// Nearer to a pole than this, in degrees, a longitude means nothing; a step this near to half a turn leads across it.
const POLE_DEGREES: f64 = 1e-9;
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
    /// Traces the outline of a window. `project` gives longitude and latitude, in degrees, of pixel positions (col, row), in
    /// their order; longitudes may jump by 360 degrees anywhere.
    ///
    /// `None` if `project` gives none, or a point that is not finite or not on the globe.
    pub fn trace(window: Window, project: impl Fn(&[(f64, f64)]) -> Option<Vec<(f64, f64)>>) -> Option<Self> {
        let mut rings = None;
        for segments in SEGMENTS {
            let projected =
                project(&outline(window, segments)).filter(|points| points.iter().all(is_on_globe))?;
            let pixels = 2.0 * (window.width as f64 + window.height as f64);
            let (points, is_smooth) = trace_edges(&projected, segments, pixels);
            rings = Some(split_at_antimeridian(&points));
            if is_smooth {
                break;
            }
        }
        let mut rings = rings.filter(|rings| !rings.is_empty())?;
        rings.iter_mut().for_each(finish);
        Some(Self { rings })
    }

    /// The exterior rings; more than one makes a `MultiPolygon`.
    pub fn rings(&self) -> &[Ring] {
        &self.rings
    }

    /// West, south, east and north in degrees, as RFC 7946 wants a bounding box: west is greater than east where it crosses the
    /// antimeridian.
    pub fn bounds(&self) -> [f64; 4] {
        let extent = |ring: &Ring| {
            let start = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
            ring.iter().fold(start, |[west, south, east, north], &(x, y)| {
                [west.min(x), south.min(y), east.max(x), north.max(y)]
            })
        };
        let boxes: Vec<[f64; 4]> = self.rings.iter().map(extent).collect();
        let south = boxes.iter().map(|each| each[1]).fold(f64::INFINITY, f64::min);
        let north = boxes.iter().map(|each| each[3]).fold(f64::NEG_INFINITY, f64::max);
        // One part ends at the antimeridian, another begins there; anything else goes around the globe.
        let (east_part, west_part) =
            (boxes.iter().find(|each| each[2] >= 180.0), boxes.iter().find(|each| each[0] <= -180.0));
        match (boxes.as_slice(), east_part, west_part) {
            ([only], ..) => *only,
            (_, Some(first), Some(second)) if first[0] > second[2] => [first[0], south, second[2], north],
            _ => [-180.0, south, 180.0, north],
        }
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

/// Pixel positions along the outline of a window, clockwise in pixel space from the upper left corner, not closed.
fn outline(window: Window, segments: usize) -> Vec<(f64, f64)> {
    let (left, top) = (window.col as f64, window.row as f64);
    let (right, bottom) = (left + window.width as f64, top + window.height as f64);
    let corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
    let mut points = Vec::with_capacity(4 * segments);
    for (index, &(col, row)) in corners.iter().enumerate() {
        let (next_col, next_row) = corners[(index + 1) % 4];
        for step in 0..segments {
            let share = step as f64 / segments as f64;
            points.push((col + (next_col - col) * share, row + (next_row - row) * share));
        }
    }
    points
}

fn is_on_globe(&(longitude, latitude): &(f64, f64)) -> bool {
    longitude.is_finite() && longitude.abs() <= 720.0 && latitude.is_finite() && latitude.abs() <= 90.0 + 1e-6
}

fn is_at_pole(point: (f64, f64)) -> bool {
    point.1.abs() >= 90.0 - POLE_DEGREES
}

/// The ring of a projected outline of so many pixels, simplified, with longitudes that go on without jumps; and whether it is
/// smooth: whether more points would not change it.
fn trace_edges(projected: &[(f64, f64)], segments: usize, pixels: f64) -> (Vec<(f64, f64)>, bool) {
    let mut edges = unwrap_edges(projected, segments);
    let turn = closing_turn(&mut edges);
    let closed: [Vec<(f64, f64)>; 4] = std::array::from_fn(|number| {
        let after = edges[(number + 1) % 4].points[0];
        let end = if number == 3 { (after.0 + turn, after.1) } else { after };
        edges[number].points.iter().copied().chain([end]).collect()
    });
    let length: f64 =
        closed.iter().flat_map(|edge| edge.windows(2)).map(|ends| distance(ends[0], ends[1])).sum();
    let tolerance = (TOLERANCE_PX * length / pixels).max(LEAST_TOLERANCE_DEGREES);
    let (mut points, mut is_smooth) = (Vec::new(), true);
    for (edge, closed) in edges.iter().zip(&closed) {
        // What leads across a pole stays as it is.
        let step = if edge.crossing.is_some() { 1 } else { coarsest_step(closed, tolerance) };
        is_smooth &= step > 1;
        points.extend(edge.points.iter().step_by(step));
    }
    if turn != 0.0 {
        enclose_pole(&mut points, turn);
    }
    (points, is_smooth)
}

/// The points of one side of a window, without the last corner.
#[derive(Default)]
struct Edge {
    points: Vec<(f64, f64)>,
    /// Where it leaves a pole that it runs into.
    crossing: Option<usize>,
}

/// The sides of an outline, beginning at a corner that is no pole, with multiples of 360 added so that no step between
/// neighbours is longer than half a turn. Where the outline runs into a pole, it has the pole twice: on the meridian on which
/// it comes, and on the one on which it goes on.
fn unwrap_edges(projected: &[(f64, f64)], segments: usize) -> [Edge; 4] {
    let count = projected.len();
    let at = |index: usize| projected[index % count];
    // The upper edge of a map of the whole globe runs along a pole; its longitudes have a meaning.
    let is_lone_pole = |index: usize| {
        is_at_pole(at(index)) && !is_at_pole(at(index + 1)) && !is_at_pole(at(index + count - 1))
    };
    let crosses = |from: (f64, f64), to: (f64, f64)| {
        let turn = (to.0 - from.0).rem_euclid(360.0);
        (turn - 180.0).abs() <= POLE_DEGREES && !is_at_pole(from) && !is_at_pole(to)
    };
    let start = (0..4)
        .map(|corner| corner * segments)
        .find(|&corner| !is_lone_pole(corner) && !crosses(at(corner + count - 1), at(corner)))
        .unwrap_or(0);
    let mut edges: [Edge; 4] = std::array::from_fn(|_| Edge::default());
    let mut previous = at(start);
    for step in 0..count {
        let point = at(start + step);
        let (edge, before) = (step / segments, step.saturating_sub(1) / segments);
        if is_lone_pole(start + step) {
            // Both meridians are known at the next point.
            edges[edge].points.push((previous.0, 90.0_f64.copysign(point.1)));
            continue;
        }
        let near = (nearest_turn(point.0, previous.0), point.1.clamp(-90.0, 90.0));
        let comes_from_pole = step > 0 && is_lone_pole(start + step - 1);
        if comes_from_pole || (step > 0 && crosses(previous, near)) {
            let pole = 90.0_f64.copysign(previous.1 + near.1);
            if !comes_from_pole {
                edges[before].points.push((previous.0, pole));
            }
            edges[before].points.push((near.0, pole));
            edges[before].crossing = Some(edges[before].points.len() - 1);
        }
        edges[edge].points.push(near);
        previous = near;
    }
    edges
}

/// The longitude that names the same meridian and lies within half a turn of `reference`.
fn nearest_turn(longitude: f64, reference: f64) -> f64 {
    let turns = ((longitude - reference) / 360.0).abs();
    // A step of exactly half a turn stays as it is.
    if turns <= 0.5 { longitude } else { longitude - 360.0 * ((longitude - reference) / 360.0).round() }
}

/// 0 for a ring that comes back to where it began, else the full turn (360 or -360) that it makes around a pole.
///
/// A ring that runs into a pole does not go around it: of the two ways on from there it takes the one that closes it.
fn closing_turn(edges: &mut [Edge; 4]) -> f64 {
    let (Some(&first), Some(&last)) = (edges[0].points.first(), edges[3].points.last()) else { return 0.0 };
    let turn = nearest_turn(first.0, last.0) - first.0;
    let Some(crossed) = edges.iter().position(|edge| edge.crossing.is_some()) else { return turn };
    let begin = edges[crossed].crossing.unwrap_or_default();
    for point in &mut edges[crossed].points[begin..] {
        point.0 -= turn;
    }
    for point in edges[crossed + 1..].iter_mut().flat_map(|edge| &mut edge.points) {
        point.0 -= turn;
    }
    0.0
}

/// The step between the points of an edge that its shape needs: the largest power of two, with the corners, that will do.
fn coarsest_step(points: &[(f64, f64)], tolerance: f64) -> usize {
    let mut step = points.len() - 1;
    while step > 1 && !is_straight(points, step, tolerance) {
        step /= 2;
    }
    step
}

/// Distance of neighbouring points, in degrees of latitude: those of longitude are shorter.
fn distance(from: (f64, f64), to: (f64, f64)) -> f64 {
    ((to.0 - from.0) * f64::midpoint(from.1, to.1).to_radians().cos()).hypot(to.1 - from.1)
}

/// True if every point lies within the tolerance of the chords between each `step`-th point.
fn is_straight(points: &[(f64, f64)], step: usize, tolerance: f64) -> bool {
    (0..points.len() - 1).step_by(step).all(|start| {
        let (from, to) = (points[start], points[start + step]);
        let east = f64::midpoint(from.1, to.1).to_radians().cos();
        let (dx, dy) = ((to.0 - from.0) * east, to.1 - from.1);
        let length = dx.hypot(dy);
        points[start..=start + step].iter().all(|point| {
            let (px, py) = ((point.0 - from.0) * east, point.1 - from.1);
            let away = if length > 0.0 { (dx * py - dy * px).abs() / length } else { px.hypot(py) };
            away <= tolerance
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
        Footprint::trace(WINDOW, |pixels| Some(pixels.iter().map(|&(col, row)| project(col, row)).collect()))
    }

    /// Azimuth and distance around a pole that lies at a pixel position; a hundredth of a degree per pixel.
    fn around_pole(pole_col: f64, pole_row: f64) -> Footprint {
        footprint(|col, row| {
            let (x, y) = (col - pole_col, row - pole_row);
            (y.atan2(x).to_degrees(), 90.0 - 0.01 * x.hypot(y))
        })
        .unwrap()
    }

    /// Share of the globe's surface around the pole, as the area of a map in azimuth and distance.
    fn polar_area(footprint: &Footprint) -> f64 {
        let azimuthal = |point: &(f64, f64)| {
            let (sin, cos) = point.0.to_radians().sin_cos();
            ((90.0 - point.1) * 100.0 * cos, (90.0 - point.1) * 100.0 * sin)
        };
        footprint.rings().iter().map(|ring| area(&ring.iter().map(azimuthal).collect()).abs()).sum()
    }

    #[test]
    fn a_pole_on_a_corner_or_an_edge_or_just_outside_keeps_the_area() {
        let (left, top) = (WINDOW.col as f64, WINDOW.row as f64);
        let (right, bottom) = (left + WINDOW.width as f64, top + WINDOW.height as f64);
        let places = [
            (left, top),
            (right, top),
            (right, bottom),
            (left, bottom),
            (left + 15.0, top),
            (right, top + 7.0),
            (left + 11.0, bottom),
            (left, top + 20.0),
            (left - 0.5, top + 13.0),
            (right + 3.0, bottom + 4.0),
        ];
        for (col, row) in places {
            let footprint = around_pole(col, row);
            // The sides of the window are straight in azimuth and distance, and nearly so in a chord of the footprint.
            let found = polar_area(&footprint);
            assert!((found - 1200.0).abs() < 3.0, "pole at {col}, {row}: {found} {footprint:?}");
            assert!(footprint.rings().iter().flatten().all(|point| point.0.abs() <= 180.0));
        }
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
        // 32 chords to an edge keep within a hundredth of a pixel.
        assert_eq!(curved.rings()[0].len(), 1 + 2 * 32 + 2);
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
        let [west, south, east, north] = split.bounds();
        assert!(west > 179.0 && east < -179.0 && south < north, "{:?}", split.bounds());
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
