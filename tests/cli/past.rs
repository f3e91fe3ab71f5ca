//! `rsmoe merge` and `rsmoe convert`.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::rasters::Recipe;
use super::support::{bare, code, rsmoe, stderr, stdout};

fn pattern(band: usize, row: usize, col: usize) -> u16 {
    (1 + (row * 131 + col * 17 + band * 977) % 4000 + row * 3) as u16
}

/// A scene of 6 x 5 tiles of the tiny model.
fn scene() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let raster = Recipe::new(240, 120, 3, pattern).write(directory.path(), "scene.tif");
    (directory, raster)
}

fn run(raster: &Path, out: &Path, more: &[&str]) {
    let output = rsmoe().arg("scene").arg(raster).arg("--out").arg(out).args(more).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}

#[test]
fn shards_are_run_merged_and_converted_without_a_model() {
    let (directory, raster) = scene();
    let whole = directory.path().join("whole.geojson");
    run(&raster, &whole, &[]);
    let parts = ["1/3", "2/3", "3/3"].map(|shard| {
        let out = directory.path().join(format!("part-{}.csv", &shard[..1]));
        run(&raster, &out, &["--shard", shard]);
        out
    });
    let merged = directory.path().join("merged.geojson");
    let output = bare().arg("merge").args(&parts).arg("--out").arg(&merged).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
    assert!(stderr(&output).contains("3 shards: 30 tiles captioned"), "{}", stderr(&output));
    assert!(std::fs::read(&merged).unwrap() == std::fs::read(&whole).unwrap());
    let page = directory.path().join("map.html");
    let output = bare().arg("report").arg(&merged).arg("--out").arg(&page).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    for name in ["out.gpkg", "out.fgb", "out.parquet", "out.csv"] {
        let out = directory.path().join(name);
        let output = bare().arg("convert").arg(&merged).arg("--out").arg(&out).output().unwrap();
        assert_eq!(code(&output), 0, "{name}: {}", stderr(&output));
        assert!(stderr(&output).starts_with("30 tiles -> "), "{}", stderr(&output));
        assert!(std::fs::metadata(&out).unwrap().len() > 1000, "{name}");
    }
    let output = bare().arg("report").arg(directory.path().join("out.gpkg")).arg("--out").arg(&page).output();
    let output = output.unwrap();
    assert_eq!(code(&output), 4);
    assert!(stderr(&output).contains("rsmoe convert"), "{}", stderr(&output));
}

#[test]
fn what_cannot_be_merged_has_its_exit_code_and_a_hint() {
    let (directory, raster) = scene();
    let part = directory.path().join("part-1.geojson");
    run(&raster, &part, &["--shard", "1/2"]);
    let out = directory.path().join("merged.geojson");
    let none = directory.path().join("none.geojson");
    let twin = directory.path().join("twin.geojson");
    std::fs::copy(
        directory.path().join("part-1.geojson.journal"),
        directory.path().join("twin.geojson.journal"),
    )
    .unwrap();
    let cases: [(&[&Path], &Path, i32, &str); 4] = [
        (&[&part], &out, 2, "1 of 2 shards missing: 2/2"),
        (&[&part, &none], &out, 4, "none.geojson: no run of `rsmoe scene`"),
        (&[&raster], &out, 4, "scene.tif: no run"),
        (&[&part, &twin], &out, 2, "both hold shard 1/2"),
    ];
    for (parts, out, expected, text) in cases {
        let output = bare().arg("merge").args(parts).arg("--out").arg(out).output().unwrap();
        assert_eq!(code(&output), expected, "{}", stderr(&output));
        assert!(stderr(&output).contains(text), "{text}: {}", stderr(&output));
        assert!(stderr(&output).contains("hint: "), "{}", stderr(&output));
        assert!(!out.exists());
    }
}

#[test]
fn a_converted_shard_says_so_and_a_run_that_is_not_finished_gives_3() {
    let (directory, raster) = scene();
    let part = directory.path().join("part.geojson");
    run(&raster, &part, &["--shard", "2/2"]);
    let convert = |out: &str, more: &[&str]| {
        let out = directory.path().join(out);
        bare().arg("convert").arg(&part).arg("--out").arg(out).args(more).output().unwrap()
    };
    let output = convert("a.csv", &["--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stderr(&output).contains("shard 2/2"), "{}", stderr(&output));
    let summary: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&summary["complete"], &summary["counts"]["failed"]), (&true.into(), &0.into()));
    let output = convert("a.csv", &[]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("--overwrite"), "{}", stderr(&output));
    let journal = directory.path().join("part.geojson.journal");
    let bytes = std::fs::read(&journal).unwrap();
    std::fs::write(&journal, &bytes[..bytes.len() - 1]).unwrap();
    let output = convert("a.csv", &["--overwrite"]);
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    assert!(stderr(&output).contains("not finished"), "{}", stderr(&output));
}

#[test]
fn a_stac_item_names_its_asset_its_time_and_its_model() {
    let (directory, raster) = scene();
    let captions = directory.path().join("captions.geojson");
    run(&raster, &captions, &["--tile-size", "120"]);
    let item = directory.path().join("captions.stac.json");
    let convert = |more: &[&str]| {
        bare().arg("convert").arg(&captions).arg("--out").arg(&item).args(more).output().unwrap()
    };
    let output = convert(&[]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("--datetime 2026"), "{}", stderr(&output));
    assert!(!item.exists());
    assert_eq!(code(&convert(&["--datetime", "yesterday"])), 2);
    let output = convert(&[
        "--datetime",
        "2026-08-01T12:20:30+02:00",
        "--model-item",
        "https://example.org/model.json",
    ]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let found: Value = serde_json::from_slice(&std::fs::read(&item).unwrap()).unwrap();
    assert_eq!((&found["stac_version"], &found["id"]), (&"1.1.0".into(), &"captions".into()));
    assert_eq!(found["properties"]["datetime"], "2026-08-01T10:20:30Z");
    assert_eq!(found["properties"]["proj:code"], "EPSG:32632");
    assert_eq!(found["links"][0]["rel"], "derived_from");
    assert_eq!(found["links"][0]["mlm:name"], "tiny-adapter");
    assert_eq!(found["assets"]["captions"]["href"], "./captions.geojson");
    assert_eq!(found["geometry"]["type"], "Polygon");
    let readers = |path: &Path| std::fs::metadata(path).unwrap().permissions();
    assert_eq!(readers(&item), readers(&captions), "whoever may read the captions may read the item");
    let ring = found["geometry"]["coordinates"][0].as_array().unwrap();
    let bbox: Vec<f64> =
        found["bbox"].as_array().unwrap().iter().map(|side| side.as_f64().unwrap()).collect();
    for point in ring {
        let (x, y) = (point[0].as_f64().unwrap(), point[1].as_f64().unwrap());
        assert!(bbox[0] <= x && x <= bbox[2] && bbox[1] <= y && y <= bbox[3], "{point} is outside {bbox:?}");
    }
    assert_eq!(code(&convert(&["--datetime", "2026-08-01T12:20:30Z"])), 2, "it exists");
    let output = bare()
        .arg("convert")
        .arg(&captions)
        .arg("--out")
        .arg(directory.path().join("x.csv"))
        .args(["--datetime", "2026-08-01T12:20:30Z"])
        .output()
        .unwrap();
    assert_eq!(code(&output), 2, "only items have a time");
    let output = rsmoe()
        .arg("scene")
        .arg(&raster)
        .arg("--out")
        .arg(directory.path().join("y.stac.json"))
        .output()
        .unwrap();
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("rsmoe convert"), "{}", stderr(&output));
}

#[test]
fn the_time_of_the_file_is_the_time_of_its_item() {
    let (directory, _) = scene();
    let raster = directory.path().join("dated.tif");
    let mut dataset = Recipe::new(240, 120, 3, pattern).create(&raster);
    gdal::Metadata::set_metadata_item(&mut dataset, "TIFFTAG_DATETIME", "2020:06:01 12:00:05", "").unwrap();
    drop(dataset);
    let captions = directory.path().join("captions.gpkg");
    run(&raster, &captions, &["--tile-size", "120"]);
    let item = directory.path().join("captions.stac.json");
    let journal = directory.path().join("captions.gpkg.journal");
    let output = bare().arg("convert").arg(&journal).arg("--out").arg(&item).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let found: Value = serde_json::from_slice(&std::fs::read(&item).unwrap()).unwrap();
    assert_eq!(found["properties"]["datetime"], "2020-06-01T12:00:05Z");
    assert_eq!(found["properties"]["rsmoe:datetime_source"], "TIFFTAG_DATETIME");
    assert_eq!(found["assets"]["captions"]["type"], "application/geopackage+sqlite3");
}

#[test]
fn the_time_that_a_run_is_told_goes_before_its_files_and_another_one_is_another_run() {
    let (directory, _) = scene();
    let raster = directory.path().join("dated.tif");
    let mut dataset = Recipe::new(240, 120, 3, pattern).create(&raster);
    for (name, value) in
        [("TIFFTAG_DATETIME", "2020:06:01 12:00:05"), ("PRODUCT_START_TIME", "2019-05-04T10:20:31.024Z")]
    {
        gdal::Metadata::set_metadata_item(&mut dataset, name, value, "").unwrap();
    }
    drop(dataset);
    let captions = directory.path().join("captions.geojson");
    let page = directory.path().join("map.html");
    let interval = "2026-08-01T00:00:00Z/2026-08-31T23:59:59Z";
    let item = |captions: &Path, more: &[&str]| -> Value {
        let item = directory.path().join("captions.stac.json");
        let mut convert = bare();
        convert.arg("convert").arg(captions).arg("--out").arg(&item).arg("--overwrite").args(more);
        let output = convert.output().unwrap();
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        serde_json::from_slice::<Value>(&std::fs::read(&item).unwrap()).unwrap()["properties"].clone()
    };
    run(&raster, &captions, &["--tile-size", "120"]);
    let from_file = item(&captions, &[]);
    assert_eq!(
        (&from_file["datetime"], &from_file["rsmoe:datetime_source"]),
        (&"2019-05-04T10:20:31.024Z".into(), &"PRODUCT_START_TIME".into())
    );
    let told = |more: &[&str]| {
        let mut scene = rsmoe();
        scene.arg("scene").arg(&raster).arg("--out").arg(&captions).args(["--tile-size", "120"]).args(more);
        scene.output().unwrap()
    };
    let output = told(&["--datetime", interval]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("datetime: was null, now {"), "{}", stderr(&output));
    assert_eq!(code(&told(&["--datetime", interval, "--restart"])), 0);
    let from_user = item(&captions, &[]);
    assert_eq!(
        [&from_user["datetime"], &from_user["start_datetime"], &from_user["end_datetime"]],
        [&Value::Null, &"2026-08-01T00:00:00Z".into(), &"2026-08-31T23:59:59Z".into()]
    );
    assert_eq!(item(&captions, &["--datetime", "2026-08-02T10:00:00Z"])["datetime"], "2026-08-02T10:00:00Z");
    let collection: Value = serde_json::from_slice(&std::fs::read(&captions).unwrap()).unwrap();
    assert_eq!(collection["rsmoe"]["datetime"]["end"], "2026-08-31T23:59:59Z");
    assert_eq!(code(&bare().arg("report").arg(&captions).arg("--out").arg(&page).output().unwrap()), 0);
    assert!(std::fs::read_to_string(&page).unwrap().contains(&format!("imagery of {interval}")));
    let output = told(&["--datetime", "2026-08-31T00:00:00Z/2026-08-01T00:00:00Z"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("ends before it begins"), "{}", stderr(&output));
}
