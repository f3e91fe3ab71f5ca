//! Short distances on the WGS84 ellipsoid.

/// Half the equator's diameter of WGS84, metres.
const SEMI_MAJOR_M: f64 = 6_378_137.0;
/// First eccentricity of WGS84, squared.
const ECCENTRICITY_SQUARED: f64 = 6.694_379_990_141_317e-3;

/// Distance in metres between two neighbouring points, each (longitude, latitude) in degrees on WGS84.
///
/// Uses the radii of curvature at the mean latitude: exact to a few parts per million up to tens of kilometres, which
/// is what the distance between pixels needs. Longitudes on both sides of the antimeridian are neighbours too.
pub fn ground_distance_m(from: (f64, f64), to: (f64, f64)) -> f64 {
    let latitude = (f64::midpoint(from.1, to.1)).to_radians();
    let mut turn = to.0 - from.0;
    turn -= 360.0 * (turn / 360.0).round();
    let flattening = 1.0 - ECCENTRICITY_SQUARED * latitude.sin().powi(2);
    let across = SEMI_MAJOR_M / flattening.sqrt();
    let along = across * (1.0 - ECCENTRICITY_SQUARED) / flattening;
    let east = across * latitude.cos() * turn.to_radians();
    let north = along * (to.1 - from.1).to_radians();
    east.hypot(north)
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
    fn the_antimeridian_is_not_a_wall() {
        let across = ground_distance_m((179.999, 10.0), (-179.999, 10.0));
        assert!((across - ground_distance_m((0.0, 10.0), (0.002, 10.0))).abs() < 1e-6);
    }
}
