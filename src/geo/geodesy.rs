//! Distances on the WGS84 ellipsoid.

/// Half the equator's diameter of WGS84, metres.
const SEMI_MAJOR_M: f64 = 6_378_137.0;
/// First eccentricity of WGS84, squared.
const ECCENTRICITY_SQUARED: f64 = 6.694_379_990_141_317e-3;

/// Distance in metres between two points, each (longitude, latitude) in degrees on WGS84.
///
/// The straight line between them, bent to the arc: exact to a few parts per million up to hundreds of kilometres, which is
/// more than the distance between pixels needs, and the same everywhere: beside a pole, and across the antimeridian.
pub fn ground_distance_m(from: (f64, f64), to: (f64, f64)) -> f64 {
    let (from, to) = (geocentric(from), geocentric(to));
    let chord = (0..3).map(|axis| (to[axis] - from[axis]).powi(2)).sum::<f64>().sqrt();
    let diameter = 2.0 * SEMI_MAJOR_M;
    if chord < diameter { diameter * (chord / diameter).asin() } else { chord }
}

/// Cartesian coordinates of a point on the ellipsoid, metres from the centre of the Earth.
fn geocentric((longitude, latitude): (f64, f64)) -> [f64; 3] {
    let (sin, cos) = latitude.to_radians().sin_cos();
    let (east, greenwich) = longitude.to_radians().sin_cos();
    let across = SEMI_MAJOR_M / (1.0 - ECCENTRICITY_SQUARED * sin * sin).sqrt();
    [across * cos * greenwich, across * cos * east, across * (1.0 - ECCENTRICITY_SQUARED) * sin]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_degree_has_its_textbook_length() {
        // Lengths of one degree at the equator and at 60 degrees north on WGS84.
        assert!((ground_distance_m((0.0, 0.0), (1.0, 0.0)) - 111_319.49).abs() < 1.0);
        assert!((ground_distance_m((0.0, -0.5), (0.0, 0.5)) - 110_574.3).abs() < 2.0);
        assert!((ground_distance_m((0.0, 60.0), (1.0, 60.0)) - 55_800.0).abs() < 5.0);
    }

    #[test]
    fn a_pole_is_a_place_like_any_other() {
        // 0.2 degrees of a meridian at the pole, where a degree is 111,694 m long.
        let across = ground_distance_m((30.0, 89.9), (-150.0, 89.9));
        assert!((across - 0.2 * 111_694.0).abs() < 1.0, "{across}");
    }

    #[test]
    fn the_antimeridian_is_not_a_wall() {
        let across = ground_distance_m((179.999, 10.0), (-179.999, 10.0));
        assert!((across - ground_distance_m((0.0, 10.0), (0.002, 10.0))).abs() < 1e-3);
    }
}
