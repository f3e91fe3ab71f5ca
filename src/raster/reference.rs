//! How a raster lies on the globe: the way from its pixels to WGS84.

use gdal::spatial_ref::{AxisMappingStrategy, CoordTransform, SpatialRef};
use gdal::{Dataset, Metadata};

use super::info::Georeference;
use super::transformer::{Method, Transformer};
use crate::geo::{GeoTransform, Size};

/// Geotransforms that mean that there is none.
const IDENTITY: [f64; 6] = [0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
const FLIPPED: [f64; 6] = [0.0, 1.0, 0.0, 0.0, 0.0, -1.0];
/// Where GDAL keeps the rational polynomials of a camera.
const RPC_DOMAIN: &str = "RPC";

/// Coordinates and the way to WGS84.
pub(super) struct Reference {
    pub(super) crs: Option<String>,
    pub(super) georeference: Georeference,
    way: Option<Way>,
}

/// From pixels to map coordinates, and from there to WGS84.
struct Way {
    to_map: ToMap,
    to_wgs84: CoordTransform,
}

enum ToMap {
    Affine(GeoTransform),
    Solved(Transformer),
}

/// A georeference that has not proved itself.
struct Candidate {
    georeference: Georeference,
    to_map: ToMap,
    srs: Option<SpatialRef>,
}

impl Reference {
    /// The best georeference of a dataset that leads to WGS84: its geotransform, its ground control points, its rational
    /// polynomials, in this order.
    pub(super) fn of(dataset: &Dataset, size: Size) -> Self {
        let mut crs = None;
        let mut reason = None;
        for find in [affine, control_points, rational_polynomials] {
            let located = find(dataset).transpose().map(|candidate| {
                let candidate = candidate?;
                let name = |srs: &SpatialRef| srs.authority().ok().or_else(|| srs.name());
                crs = candidate.srs.as_ref().and_then(name);
                locate(candidate, size)
            });
            match located {
                Some(Ok((georeference, way))) => return Self { crs, georeference, way: Some(way) },
                Some(Err(why)) => reason = reason.or(Some(why)),
                None => {}
            }
        }
        let reason = reason.unwrap_or("the file has no geotransform").to_owned();
        Self { crs, georeference: Georeference::Missing { reason }, way: None }
    }

    /// Longitude and latitude, in degrees on WGS84, of pixel positions (col, row); `None` without georeference or if a
    /// position cannot be projected.
    pub(super) fn to_wgs84(&self, pixels: &[(f64, f64)]) -> Option<Vec<(f64, f64)>> {
        self.way.as_ref()?.to_wgs84(pixels)
    }
}

impl Way {
    fn to_wgs84(&self, pixels: &[(f64, f64)]) -> Option<Vec<(f64, f64)>> {
        let (mut x, mut y) = match &self.to_map {
            ToMap::Affine(transform) => {
                let map = |&(col, row): &(f64, f64)| transform.to_map(col, row);
                pixels.iter().map(map).map(|point| (point.x, point.y)).unzip()
            }
            ToMap::Solved(transformer) => transformer.to_map(pixels)?,
        };
        self.to_wgs84.transform_coords(&mut x, &mut y, &mut []).ok()?;
        let points: Vec<_> = x.into_iter().zip(y).collect();
        points.iter().all(|point| point.0.is_finite() && point.1.is_finite()).then_some(points)
    }
}

/// What a dataset may hold of one kind: nothing, a candidate, or why it is none.
type Found = Result<Option<Candidate>, &'static str>;

fn affine(dataset: &Dataset) -> Found {
    // Files without a geotransform may hold the identity instead.
    let given = dataset.geo_transform().ok().filter(|numbers| *numbers != IDENTITY && *numbers != FLIPPED);
    let Some(transform) = given.map(GeoTransform::from_gdal) else { return Ok(None) };
    if !transform.is_usable() {
        return Err("the geotransform is not usable");
    }
    let (georeference, to_map) = (Georeference::Affine(transform), ToMap::Affine(transform));
    Ok(Some(Candidate { georeference, to_map, srs: dataset.spatial_ref().ok() }))
}

fn control_points(dataset: &Dataset) -> Found {
    if dataset.gcps().is_empty() {
        return Ok(None);
    }
    let transformer = Transformer::try_new(dataset, Method::ControlPoints);
    let to_map = ToMap::Solved(transformer.ok_or("the ground control points determine no transform")?);
    let srs = dataset.gcp_spatial_ref();
    Ok(Some(Candidate { georeference: Georeference::ControlPoints, to_map, srs }))
}

fn rational_polynomials(dataset: &Dataset) -> Found {
    let Some(height) = dataset.metadata_item("HEIGHT_OFF", RPC_DOMAIN) else { return Ok(None) };
    // The middle of the heights that the polynomials were fitted over: nearer to the terrain than the ellipsoid is.
    let height_m = height.trim().parse().ok().filter(|height: &f64| height.is_finite());
    let height_m = height_m.ok_or("the rational polynomials have no height")?;
    let transformer = Transformer::try_new(dataset, Method::RationalPolynomials { height_m });
    let to_map = ToMap::Solved(transformer.ok_or("the rational polynomials are not complete")?);
    let srs = SpatialRef::from_epsg(4326).ok();
    Ok(Some(Candidate { georeference: Georeference::RationalPolynomials, to_map, srs }))
}

/// Checks that the scene's centre lands on the globe, else says why not.
fn locate(candidate: Candidate, size: Size) -> Result<(Georeference, Way), &'static str> {
    let mut srs = candidate.srs.ok_or("the file has no coordinate reference system")?;
    if srs.is_local() {
        return Err("the coordinate reference system is a local one");
    }
    let mut wgs84 = SpatialRef::from_epsg(4326).map_err(|_| "GDAL finds no PROJ data (proj.db)")?;
    srs.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
    wgs84.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
    let to_wgs84 = CoordTransform::new(&srs, &wgs84)
        .map_err(|_| "the coordinate reference system does not lead to WGS84")?;
    let way = Way { to_map: candidate.to_map, to_wgs84 };
    let centre = (size.width as f64 / 2.0, size.height as f64 / 2.0);
    way.to_wgs84(&[centre])
        .filter(|points| points.iter().all(|point| point.0.abs() <= 720.0 && point.1.abs() <= 90.0))
        .ok_or("the georeference leads off the globe")?;
    Ok((candidate.georeference, way))
}
