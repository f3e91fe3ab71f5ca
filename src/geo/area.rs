//! Parts of the globe that somebody asks for.

use serde_json::Value;

use super::{Footprint, Ring};

/// Most positions of an area.
const MAX_POSITIONS: usize = 1 << 20;

/// Polygons in WGS84, (longitude, latitude) in degrees. Rings that lie in others are holes (even-odd rule).
#[derive(Debug, Clone, PartialEq)]
pub struct Area {
    polygons: Vec<Polygon>,
}

/// Rings of one polygon, closed, and the box around them.
#[derive(Debug, Clone, PartialEq)]
struct Polygon {
    rings: Vec<Ring>,
    bounds: Bounds,
}

/// A box of longitudes and latitudes.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bounds {
    low: (f64, f64),
    high: (f64, f64),
}

/// How much of something lies in an area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// Nothing; what only touches the area from outside does not lie in it.
    None,
    /// A part, or perhaps everything.
    Part,
    /// Everything.
    Whole,
}

/// An area that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AreaError {
    /// A box without extent, or off the globe.
    #[error(
        "box {west},{south},{east},{north}: expected WEST,SOUTH,EAST,NORTH in degrees, -180 to 180 and -90 to 90, SOUTH < NORTH"
    )]
    Box {
        /// Western edge.
        west: String,
        /// Southern edge.
        south: String,
        /// Eastern edge.
        east: String,
        /// Northern edge.
        north: String,
    },
    /// GeoJSON without a polygon.
    #[error("expected a GeoJSON Polygon or MultiPolygon, a feature or a collection of them, found {found}")]
    NoPolygon {
        /// What there is instead.
        found: String,
    },
    /// A ring that is none.
    #[error("a ring of {positions} positions: expected at least 4, the last equal to the first")]
    Ring {
        /// How many it has.
        positions: usize,
    },
    /// A position that is not longitude and latitude.
    #[error("position {position}: expected longitude and latitude in degrees, -180 to 180 and -90 to 90")]
    Position {
        /// As it was written.
        position: String,
    },
    /// Coordinates of another reference system.
    #[error("the reference system {name}: expected WGS84 longitude and latitude, as GeoJSON has them")]
    OtherReference {
        /// As the file names it.
        name: String,
    },
    /// More positions than an area needs.
    #[error("more than {limit} positions")]
    TooManyPositions {
        /// The limit.
        limit: usize,
    },
}

impl Area {
    /// A box in degrees. One whose west is east of its east crosses the antimeridian, as RFC 7946 has it.
    ///
    /// # Errors
    /// [`AreaError::Box`].
    pub fn from_bounds([west, south, east, north]: [f64; 4]) -> Result<Self, AreaError> {
        let on_globe = [west, east].iter().all(|degrees| degrees.abs() <= 180.0)
            && [south, north].iter().all(|degrees| degrees.abs() <= 90.0);
        if !on_globe || south >= north || west.total_cmp(&east).is_eq() {
            let [west, south, east, north] = [west, south, east, north].map(|degrees| degrees.to_string());
            return Err(AreaError::Box { west, south, east, north });
        }
        let rectangle = |west: f64, east: f64| {
            Polygon::new(vec![vec![
                (west, south),
                (east, south),
                (east, north),
                (west, north),
                (west, south),
            ]])
        };
        let sides = if west < east { vec![(west, east)] } else { vec![(west, 180.0), (-180.0, east)] };
        let polygons = sides.into_iter().filter(|(west, east)| west < east);
        Ok(Self { polygons: polygons.map(|(west, east)| rectangle(west, east)).collect() })
    }

    /// The polygons of a GeoJSON object: a geometry, a feature or a collection.
    ///
    /// # Errors
    /// [`AreaError`].
    pub fn from_geojson(value: &Value) -> Result<Self, AreaError> {
        if let Some(name) = value["crs"]["properties"]["name"].as_str()
            && !["CRS84", "4326", "WGS 84"].iter().any(|known| name.contains(known))
        {
            return Err(AreaError::OtherReference { name: name.to_owned() });
        }
        let mut polygons = Vec::new();
        collect_polygons(value, &mut polygons)?;
        if polygons.is_empty() {
            return Err(AreaError::NoPolygon { found: "nothing".to_owned() });
        }
        let positions: usize = polygons.iter().flat_map(|polygon| &polygon.rings).map(Vec::len).sum();
        if positions > MAX_POSITIONS {
            return Err(AreaError::TooManyPositions { limit: MAX_POSITIONS });
        }
        Ok(Self { polygons })
    }

    /// Number of polygons; never 0.
    pub fn polygon_count(&self) -> usize {
        self.polygons.len()
    }

    /// How much of a footprint lies in the area.
    pub fn overlap(&self, footprint: &Footprint) -> Overlap {
        let overlaps: Vec<Overlap> =
            footprint.rings().iter().map(|ring| self.overlap_of_ring(ring)).collect();
        if overlaps.iter().all(|&overlap| overlap == Overlap::None) {
            Overlap::None
        } else if overlaps.iter().all(|&overlap| overlap == Overlap::Whole) {
            Overlap::Whole
        } else {
            Overlap::Part
        }
    }

    fn overlap_of_ring(&self, ring: &Ring) -> Overlap {
        let bounds = Bounds::of(ring);
        let near: Vec<&Polygon> =
            self.polygons.iter().filter(|polygon| polygon.bounds.meets(bounds)).collect();
        for side in near.iter().flat_map(|polygon| polygon.rings.iter().flat_map(|ring| ring.windows(2))) {
            let meets = Bounds::of(side).meets(bounds);
            if meets && (is_inside(side[0], &[ring]) || ring.windows(2).any(|edge| crosses(side, edge))) {
                return Overlap::Part;
            }
        }
        // No side of the area enters the ring: all of it lies in the area, or nothing. Sides that run from corner to corner of
        // the ring alone leave a part.
        let middle = middle_of(ring);
        let holds =
            |point| near.iter().any(|polygon| is_inside(point, &polygon.rings.iter().collect::<Vec<_>>()));
        let halfway = |&(x, y): &(f64, f64)| (f64::midpoint(x, middle.0), f64::midpoint(y, middle.1));
        let mut held = ring.iter().map(halfway).chain([middle]).map(holds);
        let first = held.next().unwrap_or(false);
        match held.all(|each| each == first) {
            true if first => Overlap::Whole,
            true => Overlap::None,
            false => Overlap::Part,
        }
    }
}

impl Polygon {
    fn new(rings: Vec<Ring>) -> Self {
        let bounds =
            rings.iter().map(|ring| Bounds::of(ring)).reduce(Bounds::union).unwrap_or(Bounds::NOWHERE);
        Self { rings, bounds }
    }
}

impl Bounds {
    const NOWHERE: Self =
        Self { low: (f64::INFINITY, f64::INFINITY), high: (f64::NEG_INFINITY, f64::NEG_INFINITY) };

    fn of(points: &[(f64, f64)]) -> Self {
        points.iter().fold(Self::NOWHERE, |bounds, &point| bounds.union(Self { low: point, high: point }))
    }

    fn union(self, other: Self) -> Self {
        Self {
            low: (self.low.0.min(other.low.0), self.low.1.min(other.low.1)),
            high: (self.high.0.max(other.high.0), self.high.1.max(other.high.1)),
        }
    }

    fn meets(self, other: Self) -> bool {
        self.low.0 <= other.high.0
            && other.low.0 <= self.high.0
            && self.low.1 <= other.high.1
            && other.low.1 <= self.high.1
    }
}

/// Twice the area of a triangle: positive if it turns counter-clockwise, 0 if its corners are on one line.
fn turn(a: (f64, f64), b: (f64, f64), c: (f64, f64)) -> f64 {
    (b.0 - a.0) * (c.1 - a.1) - (b.1 - a.1) * (c.0 - a.0)
}

/// True if two segments cross; ends that only touch do not.
fn crosses(first: &[(f64, f64)], second: &[(f64, f64)]) -> bool {
    turn(first[0], first[1], second[0]) * turn(first[0], first[1], second[1]) < 0.0
        && turn(second[0], second[1], first[0]) * turn(second[0], second[1], first[1]) < 0.0
}

/// True if a point lies in the rings (even-odd rule), and not on one of them.
fn is_inside(point: (f64, f64), rings: &[&Ring]) -> bool {
    let mut inside = false;
    for edge in rings.iter().flat_map(|ring| ring.windows(2)) {
        let (from, to) = (edge[0], edge[1]);
        if Bounds::of(edge).meets(Bounds { low: point, high: point }) && turn(from, to, point) == 0.0 {
            return false;
        }
        if (from.1 > point.1) != (to.1 > point.1)
            && point.0 < from.0 + (point.1 - from.1) / (to.1 - from.1) * (to.0 - from.0)
        {
            inside = !inside;
        }
    }
    inside
}

/// Mean of a closed ring's corners.
fn middle_of(ring: &Ring) -> (f64, f64) {
    let corners = &ring[..ring.len().saturating_sub(1).max(1).min(ring.len())];
    let count = corners.len().max(1) as f64;
    let sum = corners.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
    (sum.0 / count, sum.1 / count)
}

fn collect_polygons(value: &Value, polygons: &mut Vec<Polygon>) -> Result<(), AreaError> {
    let list = |member: &str| value[member].as_array().map_or(&[][..], Vec::as_slice);
    match value["type"].as_str() {
        Some("FeatureCollection") => {
            list("features").iter().try_for_each(|feature| collect_polygons(&feature["geometry"], polygons))
        }
        Some("GeometryCollection") => {
            list("geometries").iter().try_for_each(|geometry| collect_polygons(geometry, polygons))
        }
        Some("Feature") => collect_polygons(&value["geometry"], polygons),
        Some("Polygon") => {
            polygons.push(polygon(&value["coordinates"])?);
            Ok(())
        }
        Some("MultiPolygon") => list("coordinates").iter().try_for_each(|each| {
            polygons.push(polygon(each)?);
            Ok(())
        }),
        other => Err(AreaError::NoPolygon { found: other.unwrap_or("no geometry").to_owned() }),
    }
}

fn polygon(rings: &Value) -> Result<Polygon, AreaError> {
    let rings = rings.as_array().filter(|rings| !rings.is_empty());
    let rings = rings.ok_or_else(|| AreaError::NoPolygon { found: "a polygon without rings".to_owned() })?;
    let ring = |value: &Value| {
        let positions = value.as_array().map_or(&[][..], Vec::as_slice);
        let ring = positions.iter().map(position).collect::<Result<Ring, AreaError>>()?;
        if ring.len() < 4 || ring.first() != ring.last() {
            return Err(AreaError::Ring { positions: ring.len() });
        }
        Ok(ring)
    };
    Ok(Polygon::new(rings.iter().map(ring).collect::<Result<_, _>>()?))
}

fn position(value: &Value) -> Result<(f64, f64), AreaError> {
    let degrees = |index: usize, limit: f64| value[index].as_f64().filter(|degrees| degrees.abs() <= limit);
    match (degrees(0, 180.0), degrees(1, 90.0)) {
        (Some(longitude), Some(latitude)) => Ok((longitude, latitude)),
        _ => Err(AreaError::Position { position: value.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::geo::Window;

    /// The footprint of a box.
    fn tile(west: f64, south: f64, east: f64, north: f64) -> Footprint {
        let window = Window { col: 0, row: 0, width: 10, height: 10 };
        let project = |pixels: &[(f64, f64)]| {
            let point = |&(col, row): &(f64, f64)| {
                (west + (east - west) * col / 10.0, north + (south - north) * row / 10.0)
            };
            Some(pixels.iter().map(point).collect())
        };
        Footprint::trace(window, project).unwrap()
    }

    fn area(value: &Value) -> Area {
        Area::from_geojson(value).unwrap()
    }

    #[test]
    fn tiles_beside_the_area_that_share_an_edge_or_a_corner_are_not_in_it() {
        let bounds = Area::from_bounds([10.0, 40.0, 20.0, 50.0]).unwrap();
        assert_eq!(bounds.overlap(&tile(10.0, 40.0, 20.0, 50.0)), Overlap::Whole);
        assert_eq!(bounds.overlap(&tile(12.0, 42.0, 14.0, 44.0)), Overlap::Whole);
        assert_eq!(bounds.overlap(&tile(10.0, 40.0, 12.0, 42.0)), Overlap::Whole);
        for (west, south) in
            [(8.0, 42.0), (20.0, 42.0), (12.0, 50.0), (12.0, 38.0), (8.0, 38.0), (20.0, 50.0)]
        {
            assert_eq!(
                bounds.overlap(&tile(west, south, west + 2.0, south + 2.0)),
                Overlap::None,
                "{west} {south}"
            );
        }
        assert_eq!(bounds.overlap(&tile(9.0, 42.0, 11.0, 44.0)), Overlap::Part);
        assert_eq!(
            bounds.overlap(&tile(0.0, 0.0, 90.0, 90.0)),
            Overlap::Part,
            "an area in the middle of a tile"
        );
        assert_eq!(
            bounds.overlap(&tile(0.0, 44.0, 90.0, 45.0)),
            Overlap::Part,
            "no corner of one is in the other"
        );
    }

    #[test]
    fn an_area_that_ends_on_a_tiles_diagonal_holds_a_part_of_it() {
        let half = area(&json!({"type": "Polygon", "coordinates": [[[0, 0], [10, 0], [10, 10], [0, 0]]]}));
        assert_eq!(half.overlap(&tile(0.0, 0.0, 10.0, 10.0)), Overlap::Part);
    }

    #[test]
    fn a_box_may_cross_the_antimeridian() {
        let bounds = Area::from_bounds([175.0, -10.0, -175.0, 10.0]).unwrap();
        assert_eq!(bounds.overlap(&tile(176.0, 0.0, 178.0, 2.0)), Overlap::Whole);
        assert_eq!(bounds.overlap(&tile(-178.0, 0.0, -176.0, 2.0)), Overlap::Whole);
        assert_eq!(bounds.overlap(&tile(179.0, 0.0, 181.0, 2.0)), Overlap::Whole, "both of its parts");
        assert_eq!(bounds.overlap(&tile(0.0, 0.0, 2.0, 2.0)), Overlap::None);
    }

    #[test]
    fn a_hole_is_no_part_of_the_area() {
        let ring =
            |low: f64, high: f64| json!([[low, low], [high, low], [high, high], [low, high], [low, low]]);
        let frame = area(&json!({"type": "Polygon", "coordinates": [ring(0.0, 30.0), ring(10.0, 20.0)]}));
        assert_eq!(frame.overlap(&tile(12.0, 12.0, 14.0, 14.0)), Overlap::None);
        assert_eq!(frame.overlap(&tile(2.0, 2.0, 4.0, 4.0)), Overlap::Whole);
        assert_eq!(frame.overlap(&tile(5.0, 5.0, 25.0, 25.0)), Overlap::Part);
        let many = json!({"type": "FeatureCollection", "features": [
            {"type": "Feature", "properties": {}, "geometry": {"type": "MultiPolygon", "coordinates": [[ring(0.0, 1.0)], [ring(5.0, 6.0)]]}},
            {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring(8.0, 9.0)]}}]});
        assert_eq!(area(&many).polygon_count(), 3);
        assert_eq!(area(&many).overlap(&tile(5.2, 5.2, 5.4, 5.4)), Overlap::Whole);
        assert_eq!(area(&many).overlap(&tile(2.0, 2.0, 4.0, 4.0)), Overlap::None);
    }

    #[test]
    fn what_is_no_area_is_refused_with_the_reason() {
        for bounds in
            [[0.0, 5.0, 1.0, 5.0], [0.0, 5.0, 1.0, 4.0], [-181.0, 0.0, 0.0, 1.0], [0.0, 0.0, f64::NAN, 1.0]]
        {
            assert!(matches!(Area::from_bounds(bounds), Err(AreaError::Box { .. })), "{bounds:?}");
        }
        let cases = [
            (json!({}), "no geometry"),
            (json!({"type": "Point", "coordinates": [1, 2]}), "found Point"),
            (json!({"type": "FeatureCollection", "features": []}), "found nothing"),
            (json!({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [0, 0]]]}), "a ring of 3 positions"),
            (
                json!({"type": "Polygon", "coordinates": [[[500_000, 5_400_000]]]}),
                "expected longitude and latitude",
            ),
            (
                json!({"type": "Polygon", "coordinates": [], "crs": {"properties": {"name": "EPSG:32632"}}}),
                "EPSG:32632",
            ),
        ];
        for (value, text) in cases {
            let error = Area::from_geojson(&value).unwrap_err().to_string();
            assert!(error.contains(text), "{text}: {error}");
        }
    }
}
