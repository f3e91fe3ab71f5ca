//! Outlines of features, and their well-known binary.

use serde::Deserialize;
use serde_json::Value;

use super::Shape;
use crate::geo::Ring;

/// Types of ISO 19125 well-known binary.
const POLYGON: u32 = 3;
const MULTI_POLYGON: u32 = 6;
/// Byte order mark of well-known binary: little-endian.
const LITTLE_ENDIAN: u8 = 1;

/// One or more polygons in WGS84, (longitude, latitude) in degrees; the first ring of each is its exterior.
#[derive(Debug, Clone, PartialEq)]
pub struct Outline {
    polygons: Vec<Vec<Ring>>,
}

/// The smallest box around points, degrees. It does not wrap around the antimeridian.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Least longitude.
    pub west: f64,
    /// Least latitude.
    pub south: f64,
    /// Greatest longitude.
    pub east: f64,
    /// Greatest latitude.
    pub north: f64,
}

#[derive(Deserialize)]
#[serde(tag = "type", content = "coordinates")]
enum Geometry {
    Polygon(Vec<Ring>),
    MultiPolygon(Vec<Vec<Ring>>),
}

impl Outline {
    /// From a GeoJSON geometry; `None` for anything but a polygon or multipolygon with two numbers a point.
    pub fn from_geojson(geometry: &Value) -> Option<Self> {
        let polygons = match Geometry::deserialize(geometry).ok()? {
            Geometry::Polygon(rings) => vec![rings],
            Geometry::MultiPolygon(polygons) => polygons,
        };
        polygons.iter().flatten().flatten().next()?;
        Some(Self { polygons })
    }

    /// The kind of geometry that it needs.
    pub fn shape(&self) -> Shape {
        if self.polygons.len() == 1 { Shape::Polygon } else { Shape::MultiPolygon }
    }

    /// The box around it.
    pub fn bounds(&self) -> Bounds {
        let points = self.polygons.iter().flatten().flatten();
        points.fold(Bounds::NOWHERE, |bounds, &(x, y)| {
            bounds.with(Bounds { west: x, south: y, east: x, north: y })
        })
    }

    /// Well-known binary, little-endian: a multipolygon if `shape` or the outline says so.
    pub fn to_wkb(&self, shape: Shape) -> Vec<u8> {
        let mut bytes = Vec::new();
        if shape == Shape::MultiPolygon || self.shape() == Shape::MultiPolygon {
            put_head(&mut bytes, MULTI_POLYGON, self.polygons.len());
        }
        for rings in &self.polygons {
            put_head(&mut bytes, POLYGON, rings.len());
            for ring in rings {
                bytes.extend((ring.len() as u32).to_le_bytes());
                bytes.extend(ring.iter().flat_map(|&(x, y)| [x, y]).flat_map(f64::to_le_bytes));
            }
        }
        bytes
    }
}

impl Bounds {
    /// The box around no point at all.
    pub const NOWHERE: Self =
        Self { west: f64::INFINITY, south: f64::INFINITY, east: f64::NEG_INFINITY, north: f64::NEG_INFINITY };

    /// The box around both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            west: self.west.min(other.west),
            south: self.south.min(other.south),
            east: self.east.max(other.east),
            north: self.north.max(other.north),
        }
    }
}

/// What every geometry, or list of them, begins with.
fn put_head(bytes: &mut Vec<u8>, kind: u32, parts: usize) {
    bytes.push(LITTLE_ENDIAN);
    bytes.extend(kind.to_le_bytes());
    bytes.extend((parts as u32).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn square() -> Outline {
        let ring = [[1.0, 2.0], [3.0, 2.0], [3.0, 5.0], [1.0, 2.0]];
        Outline::from_geojson(&json!({"type": "Polygon", "coordinates": [ring]})).unwrap()
    }

    #[test]
    fn a_polygon_becomes_well_known_binary_of_the_shape_that_is_asked_for() {
        let single = square().to_wkb(Shape::Polygon);
        assert_eq!(single.len(), 9 + 4 + 4 * 16);
        assert_eq!(single[..13], [1, 3, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0]);
        assert_eq!(single[13..21], 1.0_f64.to_le_bytes());
        let multi = square().to_wkb(Shape::MultiPolygon);
        assert_eq!(multi[..9], [1, 6, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(multi[9..], single);
    }

    #[test]
    fn several_polygons_are_never_written_as_one() {
        let part = |x: f64| json!([[[x, 0.0], [x + 1.0, 0.0], [x, 1.0], [x, 0.0]]]);
        let split = json!({"type": "MultiPolygon", "coordinates": [part(179.0), part(-180.0)]});
        let outline = Outline::from_geojson(&split).unwrap();
        assert_eq!(outline.shape(), Shape::MultiPolygon);
        assert_eq!(outline.to_wkb(Shape::Polygon), outline.to_wkb(Shape::MultiPolygon));
        let bounds = outline.bounds();
        assert_eq!((bounds.west, bounds.south, bounds.east, bounds.north), (-180.0, 0.0, 180.0, 1.0));
    }

    #[test]
    fn other_geometries_are_no_outlines() {
        for other in [
            json!(null),
            json!({"type": "Point", "coordinates": [1.0, 2.0]}),
            json!({"type": "Polygon", "coordinates": [[["a", 1.0]]]}),
            json!({"type": "Polygon", "coordinates": []}),
        ] {
            assert_eq!(Outline::from_geojson(&other), None, "{other}");
        }
    }
}
