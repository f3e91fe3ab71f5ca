//! `rsmoe scene --json`: what stderr says to programs.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use super::rasters::Recipe;
use super::support::{bare, code, rsmoe, stderr, stdout};

/// 280 x 168 pixels of 16 bits: 7 x 7 tiles of the tiny model.
fn scene(options: &'static [&'static str]) -> (TempDir, PathBuf, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let mut recipe =
        Recipe::new(280, 168, 1, |_, row, col| (1 + (row * 131 + col * 17) % 4000 + row * 3) as u16);
    recipe.options = options;
    let raster = recipe.write(directory.path(), "scene.tif");
    let out = directory.path().join("out.geojson");
    (directory, raster, out)
}

fn run(raster: &Path, out: &Path, more: &[&str]) -> Output {
    rsmoe().arg("scene").arg(raster).arg("--out").arg(out).arg("--json").args(more).output().unwrap()
}

fn events(output: &Output) -> Vec<Value> {
    stderr(output).lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn of<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == name).collect()
}

#[test]
fn a_run_tells_its_plan_its_progress_and_its_end_one_event_a_line() {
    let (_directory, raster, out) = scene(&[]);
    let output = run(&raster, &out, &["--ask", "Is there water?", "--tile-size", "40"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let told = events(&output);
    let started = &told[0];
    assert_eq!(
        (&started["event"], &started["total"], &started["resumed"]),
        (&"started".into(), &35.into(), &0.into())
    );
    assert_eq!(
        (&started["run"]["grid"]["tile"]["width"], &started["run"]["questions"][0]),
        (&40.into(), &"Is there water?".into())
    );
    assert!(started["journal"].as_str().unwrap().ends_with("out.geojson.journal"));
    assert!(of(&told, "warning")[0]["message"].as_str().unwrap().contains("m per pixel"), "{told:?}");
    let done: Vec<u64> = of(&told, "progress").iter().map(|event| event["done"].as_u64().unwrap()).collect();
    assert!(done.is_sorted() && done.last() == Some(&35), "{done:?}");
    let last = of(&told, "progress")[done.len() - 1];
    assert_eq!(
        (&last["total"], &last["counts"]["captioned"], &last["seconds_left"]),
        (&35.into(), &35.into(), &0.0.into())
    );
    assert!(last["tiles_per_s"].as_f64().unwrap() > 0.0);
    let finished = told.last().unwrap();
    assert_eq!(
        (&finished["event"], &finished["end"], &finished["not_reached"]),
        (&"finished".into(), &"complete".into(), &0.into())
    );
    assert_eq!(finished["out"].as_str().unwrap(), out.display().to_string());
    let result: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&result["counts"], &result["complete"]), (&finished["counts"], &true.into()));
    let again = events(&run(&raster, &out, &["--ask", "Is there water?", "--tile-size", "40"]));
    assert_eq!((&again[0]["resumed"], of(&again, "progress").len()), (&35.into(), 0));
}

#[test]
fn every_failed_tile_is_an_event_and_the_quiet_are_told_errors_alone() {
    let (directory, raster, out) =
        scene(&["TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=16", "COMPRESS=DEFLATE"]);
    let bytes = std::fs::read(&raster).unwrap();
    std::fs::write(&raster, &bytes[..bytes.len() * 2 / 3]).unwrap();
    let output = run(&raster, &out, &[]);
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    let told = events(&output);
    let (failed, error) = (of(&told, "tile_failed"), of(&told, "error"));
    let finished = of(&told, "finished")[0];
    assert_eq!(finished["counts"]["failed"].as_u64().unwrap(), failed.len() as u64);
    assert!(
        failed[0]["id"].as_str().unwrap().starts_with('r') && failed[0]["window"]["width"] == 40,
        "{told:?}"
    );
    assert!(failed[0]["reason"].as_str().unwrap().contains("cannot be read"), "{told:?}");
    assert_eq!((error.len(), &error[0]["kind"]), (1, &"partial".into()));
    let output = run(&raster, &directory.path().join("b.geojson"), &["--quiet"]);
    let told = events(&output);
    assert_eq!((told.len(), &told[0]["event"]), (1, &"error".into()), "{told:?}");
}

#[test]
fn what_ends_a_run_is_an_event_with_its_causes_and_a_hint() {
    let (directory, raster, out) = scene(&[]);
    let notes = directory.path().join("notes.tif");
    std::fs::write(&notes, "these are notes").unwrap();
    let cases: [(&Path, &[&str], i32, &str, &str); 3] = [
        (&notes, &[], 4, "invalid_input", "notes.tif: not a raster"),
        (&raster, &["--overlap", "24"], 2, "usage", "overlap of 24 px"),
        (&raster, &["--stretch", "p98,p2"], 2, "usage", "--stretch"),
    ];
    for (raster, more, expected, kind, text) in cases {
        let output = run(raster, &out, more);
        assert_eq!(code(&output), expected, "{}", stderr(&output));
        let told = events(&output);
        assert_eq!(
            (told.len(), &told[0]["event"], &told[0]["kind"]),
            (1, &"error".into(), &kind.into()),
            "{told:?}"
        );
        assert!(told[0]["message"].as_str().unwrap().contains(text), "{told:?}");
        assert!(told[0]["hint"].is_string(), "{told:?}");
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn other_commands_speak_to_people() {
    let output = bare().args(["--json", "convert", "none.geojson", "--out", "x.csv"]).output().unwrap();
    assert_eq!(code(&output), 4, "{}", stderr(&output));
    assert!(stderr(&output).starts_with("error: none.geojson"), "{}", stderr(&output));
}
