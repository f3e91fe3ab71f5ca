//! Parts of a scene, and tiles in metres.

use std::path::Path;

use rsmoe::geo::Window;
use rsmoe::scene::{EarlierRun, SceneArea, SceneError, TileSide};
use serde_json::{Value, json};

use super::support::Recipe;
use super::{Stand, features, go, json, ramp, scene, settings};

fn ids(path: &Path) -> Vec<String> {
    features(path).iter().map(|feature| feature["id"].as_str().unwrap().to_owned()).collect()
}

/// West, south, east and north of a feature's outline.
fn bounds(feature: &Value) -> [f64; 4] {
    let ring = feature["geometry"]["coordinates"][0].as_array().unwrap();
    let axis = |axis: usize| ring.iter().map(move |point| point[axis].as_f64().unwrap());
    [
        axis(0).fold(f64::INFINITY, f64::min),
        axis(1).fold(f64::INFINITY, f64::min),
        axis(0).fold(f64::NEG_INFINITY, f64::max),
        axis(1).fold(f64::NEG_INFINITY, f64::max),
    ]
}

#[test]
fn an_area_in_pixels_does_the_tiles_of_the_scenes_own_grid_that_it_touches() {
    let (_directory, mut settings) = scene();
    settings.area = Some(SceneArea::Pixels(Window { col: 20, row: 30, width: 20, height: 10 }));
    assert_eq!(go(&settings, &mut Stand::default()).unwrap().counts.captioned, 4);
    assert_eq!(ids(&settings.out), ["r0001c0001", "r0001c0002", "r0002c0001", "r0002c0002"]);
    let run = json(&settings.out)["rsmoe"].clone();
    assert_eq!(run["area"]["asked"], "pixels 20,30,20,10");
    // A second run of the same area is done already.
    assert_eq!(go(&settings, &mut Stand::default()).unwrap().resumed, 4);
}

#[test]
fn tiles_of_an_area_say_what_they_say_in_the_whole_scene() {
    let (directory, mut settings) = scene();
    go(&settings, &mut Stand::default()).unwrap();
    let whole = features(&settings.out);
    settings.out = directory.path().join("part.geojson");
    settings.area = Some(SceneArea::Pixels(Window { col: 0, row: 16, width: 50, height: 20 }));
    go(&settings, &mut Stand::default()).unwrap();
    for feature in features(&settings.out) {
        assert!(whole.contains(&feature), "{feature}");
    }
}

#[test]
fn an_area_in_degrees_does_the_tiles_that_lie_in_it() {
    let (directory, mut settings) = scene();
    go(&settings, &mut Stand::default()).unwrap();
    let whole = features(&settings.out);
    let [west, south, east, north] = bounds(&whole[9]);
    let (dx, dy) = ((east - west) / 4.0, (north - south) / 4.0);
    settings.out = directory.path().join("part.geojson");
    settings.area = Some(SceneArea::from_bounds([west + dx, south + dy, east - dx, north - dy]).unwrap());
    go(&settings, &mut Stand::default()).unwrap();
    assert_eq!(ids(&settings.out), ["r0001c0002"]);

    let path = directory.path().join("area.geojson");
    let [west, south, east, north] = [west + dx, south + dy, east + dx, north - dy];
    let ring = json!([[west, south], [east, south], [east, north], [west, north], [west, south]]);
    std::fs::write(&path, json!({"type": "Polygon", "coordinates": [ring]}).to_string()).unwrap();
    settings.area = Some(SceneArea::from_file(&path).unwrap());
    let error = go(&settings, &mut Stand::default()).unwrap_err();
    let SceneError::OtherSettings { differences, .. } = &error else { panic!("{error}") };
    assert!(
        differences[0].starts_with("area: was ") && differences[0].contains("1 polygons, sha256"),
        "{error}"
    );
    settings.earlier = EarlierRun::Restart;
    go(&settings, &mut Stand::default()).unwrap();
    assert_eq!(ids(&settings.out), ["r0001c0002", "r0001c0003"]);
}

#[test]
fn an_area_elsewhere_or_on_a_scene_without_a_place_is_refused_with_what_to_do() {
    let (directory, mut settings) = scene();
    settings.area = Some(SceneArea::Pixels(Window { col: 100, row: 0, width: 5, height: 5 }));
    let error = go(&settings, &mut Stand::default()).unwrap_err();
    assert!(
        matches!(error, SceneError::AreaOutside { .. }) && error.to_string().contains("100 x 70 px"),
        "{error}"
    );
    settings.area = Some(SceneArea::from_bounds([-50.0, -10.0, -49.0, -9.0]).unwrap());
    let error = go(&settings, &mut Stand::default()).unwrap_err();
    assert!(error.to_string().contains("9.0000,48.7"), "the scene's own place: {error}");
    assert!(!settings.out.exists());
    let mut nowhere = Recipe::new(100, 70, 1, ramp);
    nowhere.epsg = None;
    settings.raster = nowhere.write(directory.path(), "nowhere.tif");
    let error = go(&settings, &mut Stand::default()).unwrap_err();
    assert!(matches!(error, SceneError::AreaWithoutPlace { .. }));
    assert!(error.hint().unwrap().contains("--srcwin"));
}

#[test]
fn tiles_in_metres_are_square_on_the_ground() {
    let directory = tempfile::tempdir().unwrap();
    let mut degrees = Recipe::new(120, 80, 1, ramp);
    degrees.epsg = Some(4326);
    // At 60 degrees north a pixel of a thousandth of a degree is 55.8 m wide and 111.4 m high.
    degrees.transform = Some([10.0, 0.001, 0.0, 60.04, 0.0, -0.001]);
    let mut settings =
        settings(degrees.write(directory.path(), "scene.tif"), directory.path().join("out.geojson"));
    settings.tile = TileSide::Metres(2228.0);
    go(&settings, &mut Stand::default()).unwrap();
    let window = &features(&settings.out)[0]["properties"]["window"];
    assert_eq!((&window["width"], &window["height"]), (&json!(40), &json!(20)));
    let mut nowhere = Recipe::new(120, 80, 1, ramp);
    nowhere.epsg = None;
    settings.raster = nowhere.write(directory.path(), "nowhere.tif");
    settings.earlier = EarlierRun::Restart;
    let error = go(&settings, &mut Stand::default()).unwrap_err();
    assert!(
        matches!(error, SceneError::TileWithoutPlace { .. })
            && error.hint().unwrap().contains("--tile-size 512")
    );
}
