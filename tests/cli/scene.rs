//! `rsmoe scene` and `rsmoe report`.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::rasters::Recipe;
use super::support::{bare, code, package, rsmoe, stderr, stdout};

/// Longest wait for a run that is to be cut short.
const LONGEST: Duration = Duration::from_mins(1);

fn pattern(band: usize, row: usize, col: usize) -> u16 {
    (1 + (row * 131 + col * 17 + band * 977) % 4000 + row * 3) as u16
}

/// 280 x 168 pixels: 7 x 7 tiles of the tiny model.
fn scene() -> (TempDir, PathBuf, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let raster = Recipe::new(280, 168, 3, pattern).write(directory.path(), "scene.tif");
    let out = directory.path().join("out.geojson");
    (directory, raster, out)
}

fn run(raster: &Path, out: &Path, more: &[&str]) -> Output {
    rsmoe().arg("scene").arg(raster).arg("--out").arg(out).args(more).output().unwrap()
}

fn features(out: &Path) -> Vec<Value> {
    let collection: Value = serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap();
    collection["features"].as_array().unwrap().clone()
}

#[test]
fn a_scene_becomes_a_map_and_stdout_stays_empty() {
    let (_directory, raster, out) = scene();
    let output = run(&raster, &out, &["--ask", "is there water?"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
    assert!(stderr(&output).contains("49 tiles captioned, 0 skipped, 0 failed"), "{}", stderr(&output));
    let features = features(&out);
    assert_eq!(features.len(), 49);
    let properties = &features[7]["properties"];
    for name in ["id", "caption", "confidence", "theme", "objects", "relationship", "valid_fraction", "gsd_m"]
    {
        assert!(!properties[name].is_null(), "{name}");
    }
    assert_eq!(properties["answers"][0]["question"], "is there water?");
    assert_eq!(features[7]["geometry"]["type"], "Polygon");
}

#[test]
fn a_scene_under_a_memory_limit_has_the_same_bytes_and_a_run_may_go_on_with_another_limit() {
    let (_directory, raster, out) = scene();
    let limited = out.with_file_name("limited.geojson");
    let run = |out: &Path, more: &[&str]| {
        let mut command = bare();
        command.arg("--model").arg(package("tiny-graph")).arg("scene").arg(&raster).arg("--out").arg(out);
        let output = command.args(["--ask", "is there water?"]).args(more).output().unwrap();
        assert_eq!(code(&output), 0, "{}", stderr(&output));
    };
    run(&out, &[]);
    run(&limited, &["--memory-limit", "192K"]);
    assert_eq!(std::fs::read(&out).unwrap(), std::fs::read(&limited).unwrap());
    run(&limited, &["--memory-limit", "1G"]);
    assert_eq!(std::fs::read(&out).unwrap(), std::fs::read(&limited).unwrap());
}

#[test]
fn answers_below_the_threshold_are_not_sure_and_the_threshold_belongs_to_the_run() {
    let (_directory, raster, out) = scene();
    let output = run(&raster, &out, &["--ask", "is there water?", "--unsure-below", "0.9999"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    for feature in features(&out) {
        let answer = &feature["properties"]["answers"][0];
        assert_eq!(answer["answer"], "not sure");
        assert!(answer["said"].is_string() && answer["confidence"].is_f64());
    }
    let output = run(&raster, &out, &["--ask", "is there water?", "--unsure-below", "0.5"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("unsure_below: was 0.9999, now 0.5"), "{}", stderr(&output));
}

#[test]
fn a_scene_has_the_texts_of_the_experts_that_are_heard_and_the_threshold_belongs_to_the_run() {
    let (_directory, raster, out) = scene();
    let output = run(&raster, &out, &["--silent-below", "0.9999"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    for feature in features(&out) {
        let heard = ["theme", "objects", "relationship"].map(|name| feature["properties"][name].is_string());
        assert_eq!(heard.iter().filter(|&&heard| heard).count(), 1, "{feature}");
    }
    let output = run(&raster, &out, &["--silent-below", "0.5"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("silent_below: was 0.9999, now 0.5"), "{}", stderr(&output));
}

#[test]
fn a_killed_run_that_is_repeated_ends_with_the_same_bytes() {
    let (directory, raster, out) = scene();
    let whole = directory.path().join("whole.geojson");
    assert_eq!(code(&run(&raster, &whole, &[])), 0);
    let journal = PathBuf::from(format!("{}.journal", out.display()));
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let mut kills = 0;
    for share in [1, 2, 3] {
        let enough = length(&PathBuf::from(format!("{}.journal", whole.display()))) * share / 5;
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("rsmoe"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .arg("--model")
            .arg(package("tiny-adapter"))
            .arg("scene")
            .arg(&raster)
            .arg("--out")
            .arg(&out)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let start = Instant::now();
        while length(&journal) < enough && start.elapsed() < LONGEST && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        kills += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(kills > 0, "at least one run was cut short");
    let output = run(&raster, &out, &[]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(!stderr(&output).contains("(0 resumed)"), "{}", stderr(&output));
    assert_eq!(std::fs::read(&out).unwrap(), std::fs::read(&whole).unwrap());
}

#[test]
fn an_interrupted_run_ends_with_75_and_resumes() {
    let (_directory, raster, out) = scene();
    let child = std::process::Command::new(assert_cmd::cargo::cargo_bin("rsmoe"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["--model".as_ref(), package("tiny-adapter").as_os_str(), "scene".as_ref(), raster.as_os_str()])
        .args(["--out".as_ref(), out.as_os_str()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let journal = PathBuf::from(format!("{}.journal", out.display()));
    let start = Instant::now();
    while !journal.exists() && start.elapsed() < LONGEST {
        std::thread::sleep(Duration::from_millis(2));
    }
    std::process::Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().unwrap();
    let output = child.wait_with_output().unwrap();
    // A machine may be quick enough to finish first.
    assert!(matches!(code(&output), 75 | 0), "{}", stderr(&output));
    assert!(code(&output) == 0 || stderr(&output).contains("the same command resumes"));
    assert_eq!(code(&run(&raster, &out, &[])), 0);
    assert_eq!(features(&out).len(), 49);
}

#[test]
fn a_run_that_is_repeated_says_that_nothing_was_left_to_do() {
    let (_directory, raster, out) = scene();
    assert_eq!(code(&run(&raster, &out, &[])), 0);
    let output = run(&raster, &out, &[]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stderr(&output).contains("(49 resumed): nothing was left to do -> "), "{}", stderr(&output));
    assert!(!stderr(&output).contains("tiles/s"), "there is no pace of nothing");
}

#[test]
fn one_tile_is_told_as_one() {
    let (_directory, raster, out) = scene();
    let output = run(&raster, &out, &["--srcwin", "0,0,1,1"]);
    assert!(
        stderr(&output).contains("\n1 tile captioned, 0 skipped")
            || stderr(&output).starts_with("1 tile captioned")
    );
}

#[test]
fn pixels_finer_than_the_model_was_trained_on_are_told_with_a_tile_size_that_fits() {
    let directory = tempfile::tempdir().unwrap();
    let mut recipe = Recipe::new(80, 48, 3, pattern);
    recipe.transform = Some([500_000.0, 0.02, 0.0, 5_400_000.0, 0.0, -0.02]);
    let raster = recipe.write(directory.path(), "scene.tif");
    let said = |side: &str| {
        let out = directory.path().join(format!("{side}.geojson"));
        stderr(&run(&raster, &out, &["--tile-size", side]))
    };
    // The tiny model takes 40 x 24 px and says that it was trained on 0.2 to 3 m.
    assert!(
        said("auto").contains("hint: larger tiles show more ground at once: --tile-size 8m"),
        "{}",
        said("auto")
    );
    let larger = Recipe::new(800, 480, 3, pattern);
    let raster = Recipe { transform: recipe.transform, ..larger }.write(directory.path(), "larger.tif");
    let output = run(&raster, &directory.path().join("larger.geojson"), &["--tile-size", "8m"]);
    assert!(!stderr(&output).contains("warning: the model sees"), "{}", stderr(&output));
}

#[test]
fn other_settings_are_refused_with_2_and_the_difference() {
    let (_directory, raster, out) = scene();
    assert_eq!(code(&run(&raster, &out, &[])), 0);
    let output = run(&raster, &out, &["--min-valid", "0.5"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("min_valid: was 0.25, now 0.5"), "{}", stderr(&output));
    assert!(stderr(&output).contains("hint: ") && stderr(&output).contains("--restart"));
    assert_eq!(code(&run(&raster, &out, &["--min-valid", "0.5", "--restart"])), 0);
}

#[test]
fn inputs_and_outputs_that_cannot_be_used_have_their_exit_codes() {
    let (directory, raster, out) = scene();
    let notes = directory.path().join("notes.tif");
    std::fs::write(&notes, "these are notes").unwrap();
    let many = Recipe::new(30, 20, 7, pattern).write(directory.path(), "many.tif");
    let cases: [(&Path, PathBuf, &[&str], i32, &str); 10] = [
        (&notes, out.clone(), &[], 4, "notes.tif: not a raster"),
        (Path::new("none.tif"), out.clone(), &[], 4, "none.tif"),
        (&many, out.clone(), &[], 2, "which of its 7 bands"),
        (&raster, directory.path().join("none/out.geojson"), &[], 2, "cannot be written"),
        (&raster, directory.path().join("out.shp"), &[], 2, ".geojson, .geojsonl, .gpkg"),
        (&raster, directory.path().join("out"), &[], 2, "the name has no extension"),
        (&raster, out.clone(), &["--overlap", "24"], 2, "overlap of 24 px"),
        (&raster, out.clone(), &["--tile-size", "0"], 2, "--tile-size 0"),
        (&raster, out.clone(), &["--shard", "5/4"], 2, "from 1 to N"),
        (&raster, out.clone(), &["--stretch", "p98,p2"], 2, "--stretch"),
    ];
    for (raster, out, more, expected, text) in cases {
        let output = run(raster, &out, more);
        assert_eq!(code(&output), expected, "{more:?} {}", stderr(&output));
        assert!(stderr(&output).contains(text), "{text}: {}", stderr(&output));
        assert_eq!(stdout(&output), "");
        assert!(!out.exists());
    }
}

#[test]
fn failed_tiles_give_3_and_an_empty_scene_0() {
    let directory = tempfile::tempdir().unwrap();
    let mut recipe = Recipe::new(280, 168, 1, pattern);
    recipe.options = &["TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=16", "COMPRESS=DEFLATE"];
    let raster = recipe.write(directory.path(), "scene.tif");
    let bytes = std::fs::read(&raster).unwrap();
    std::fs::write(&raster, &bytes[..bytes.len() * 2 / 3]).unwrap();
    let output = run(&raster, &directory.path().join("a.geojson"), &[]);
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    assert!(stderr(&output).contains("; the first: tile (col "), "{}", stderr(&output));
    let mut recipe = Recipe::new(280, 168, 1, |_, _, _| 0_u16);
    recipe.nodata = Some(0.0);
    let raster = recipe.write(directory.path(), "empty.tif");
    let output = run(&raster, &directory.path().join("b.geojson"), &[]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stderr(&output).contains("0 tiles captioned, 49 skipped"), "{}", stderr(&output));
}

#[test]
fn a_dry_run_prints_the_grid_and_writes_nothing() {
    let (directory, raster, _) = scene();
    let output = rsmoe().arg("scene").arg(&raster).args(["--dry-run", "--overlap", "4"]).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("8 by 9 of 40 x 24 px, overlap 4 px"), "{}", stdout(&output));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn json_gives_the_summary_on_stdout() {
    let (_directory, raster, out) = scene();
    let output = run(&raster, &out, &["--json", "--quiet"]);
    let summary: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(
        (&summary["counts"]["captioned"], &summary["complete"]),
        (&Value::from(49), &Value::from(true))
    );
    assert_eq!(stderr(&output), "");
}

#[test]
fn a_report_is_one_page_that_loads_nothing() {
    let (directory, raster, out) = scene();
    assert_eq!(code(&run(&raster, &out, &[])), 0);
    let page = directory.path().join("map.html");
    let output = bare().arg("report").arg(&out).arg("--out").arg(&page).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html.starts_with("<!DOCTYPE html>") && html.contains("data:image/jpeg;base64,"));
    assert_eq!(html.matches("class=\"tile captioned\"").count(), 49);
    for outside in ["http://", "https://", "//cdn", "@import", "url("] {
        assert!(!html.contains(outside), "{outside}");
    }
}

#[test]
fn a_scene_outside_the_trained_resolutions_says_so_in_the_run_and_on_the_page() {
    let (directory, raster, out) = scene();
    let page = directory.path().join("map.html");
    let said = |side: &str| {
        let run = run(&raster, &out, &["--restart", "--tile-size", side]);
        let report = bare().arg("report").arg(&out).arg("--out").arg(&page).output().unwrap();
        assert_eq!((code(&run), code(&report)), (0, 0), "{}{}", stderr(&run), stderr(&report));
        (stderr(&run), std::fs::read_to_string(&page).unwrap())
    };
    // Pixels of 10 m; the tiny model takes 40 x 24 of them and says that it was trained on 0.2 to 3 m.
    let (run, html) = said("40");
    assert!(
        run.contains("the model sees 12.92 m per pixel") && html.contains("sees 12.92 m per pixel"),
        "{run}"
    );
    let (run, html) = said("16");
    assert!(!run.contains("m per pixel") && !html.contains("m per pixel"), "{run}");
}

#[test]
fn a_report_without_its_scene_has_a_note_and_a_report_on_nothing_an_error() {
    let (directory, raster, out) = scene();
    assert_eq!(code(&run(&raster, &out, &[])), 0);
    std::fs::remove_file(&raster).unwrap();
    let page = directory.path().join("map.html");
    let output = bare().arg("report").arg(&out).arg("--out").arg(&page).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stderr(&output).contains("--raster"));
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html.contains("There is no picture of the scene") && !html.contains("data:image"));
    let output =
        bare().arg("report").arg(&out).arg("--out").arg(&page).arg("--raster").arg(&raster).output().unwrap();
    assert_eq!(code(&output), 4, "{}", stderr(&output));
    for (name, content) in [("a.geojson", "{}"), ("b.geojson", "no json"), ("c.csv", "id\n")] {
        let source = directory.path().join(name);
        std::fs::write(&source, content).unwrap();
        let output = bare().arg("report").arg(&source).arg("--out").arg(&page).output().unwrap();
        assert_eq!(code(&output), 4, "{name}: {}", stderr(&output));
        assert!(stderr(&output).contains(name));
    }
    let output = bare().arg("report").arg(&out).args(["--out", "none/map.html"]).output().unwrap();
    assert_eq!(code(&output), 2, "{}", stderr(&output));
}

#[test]
fn questions_are_summed_up_on_stderr_and_in_json() {
    let (_directory, raster, out) = scene();
    let output = run(&raster, &out, &["--ask", "Is there water?", "--unsure-below", "0", "--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let summary: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let tally = &summary["answers"][0];
    assert_eq!((&tally["question"], &tally["tiles"]), (&Value::from("Is there water?"), &Value::from(49)));
    let first = &tally["answers"][0];
    let line =
        format!("Is there water? {} of 49 tiles: {}", first["tiles"], first["answer"].as_str().unwrap());
    assert!(stderr(&output).contains(&line), "{line}: {}", stderr(&output));
    assert!((0.0..=1.0).contains(&first["confidence"].as_f64().unwrap()));
}

#[test]
fn an_area_does_its_tiles_and_another_one_on_the_same_output_is_refused() {
    let (_directory, raster, out) = scene();
    let output = run(&raster, &out, &["--srcwin", "40,24,80,24"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(features(&out).len(), 2);
    let output = run(&raster, &out, &["--srcwin", "0,0,10,10"]);
    assert_eq!(code(&output), 2);
    assert!(
        stderr(&output).contains("area: was ") && stderr(&output).contains("pixels 0,0,10,10"),
        "{}",
        stderr(&output)
    );
    let mut dry = rsmoe();
    let output =
        dry.arg("scene").arg(&raster).args(["--dry-run", "--srcwin", "40,24,80,24"]).output().unwrap();
    assert!(stdout(&output).contains("2 tiles in it, 47 outside"), "{}", stdout(&output));
    for (option, value, text) in [
        ("--srcwin", "1,2,3", "COL,ROW,WIDTH,HEIGHT"),
        ("--srcwin", "0,0,0,5", "COL,ROW,WIDTH,HEIGHT"),
        ("--bbox", "1,2,3", "WEST,SOUTH,EAST,NORTH"),
        ("--bbox", "10,50,11,40", "SOUTH < NORTH"),
        ("--bbox", "-60,-20,-59,-19", "no part of the scene"),
        ("--geometry", "none.geojson", "none.geojson"),
        ("--geometry", "Cargo.toml", "not GeoJSON"),
    ] {
        let output = run(&raster, &out, &[option, value]);
        assert_eq!(code(&output), 2, "{option} {value}: {}", stderr(&output));
        assert!(stderr(&output).contains(text), "{option} {value}: {}", stderr(&output));
    }
    assert_eq!(
        code(&run(&raster, &out, &["--srcwin", "0,0,9,9", "--bbox", "1,2,3,4"])),
        2,
        "one area at a time"
    );
}

#[test]
fn a_dry_run_says_how_long_the_run_will_take_if_it_may_measure() {
    let (directory, raster, _) = scene();
    let dry = |more: &[&str]| rsmoe().arg("scene").arg(&raster).arg("--dry-run").args(more).output().unwrap();
    let output = dry(&["--tile-size", "300m"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(
        stdout(&output).contains("of 30 x 30 px, overlap 0 px; 300 x 300 m on the ground"),
        "{}",
        stdout(&output)
    );
    assert!(stdout(&output).contains("--measure") && stdout(&output).contains("m on the ground"));
    let output = dry(&["--measure"]);
    assert!(stdout(&output).contains("time     at most "), "{} {}", stdout(&output), stderr(&output));
    let output = dry(&["--measure", "--json"]);
    let plan: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert!(
        plan["time"]["seconds_at_most"].as_f64().unwrap() > 0.0
            && plan["time"]["measured_tiles"].as_u64().unwrap() > 0
    );
    assert_eq!((&plan["tiles"], &plan["outside_area"]), (&Value::from(49), &Value::from(0)));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is written");
    assert_eq!(
        code(&run(&raster, &directory.path().join("a.csv"), &["--measure"])),
        2,
        "only with --dry-run"
    );
}

#[test]
fn a_recorded_stretch_serves_another_scene() {
    let (directory, raster, out) = scene();
    assert_eq!(code(&run(&raster, &out, &["--stretch", "p10,p90"])), 0);
    let other = directory.path().join("other.geojson");
    for source in [out.clone(), PathBuf::from(format!("{}.journal", out.display()))] {
        let source = source.display().to_string();
        let output = run(&raster, &other, &["--stretch-from", &source, "--restart"]);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
    }
    let stretch = |path: &Path| {
        let collection: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        collection["rsmoe"]["stretch"].clone()
    };
    assert!(stretch(&out)["linear"].is_array());
    assert_eq!(stretch(&other), stretch(&out));
    let output = run(&raster, &other, &["--stretch-from", "none.geojson"]);
    assert_eq!(code(&output), 4, "{}", stderr(&output));
}

#[test]
fn a_preset_says_which_rule_fired_and_bands_may_have_names() {
    let (directory, _, out) = scene();
    let name = "m_4609963_ne_14_060_20190719.tif";
    let raster =
        Recipe::new(80, 48, 4, |band, row, col| (band * 40 + row + col) as u8).write(directory.path(), name);
    let output = run(&raster, &out, &[]);
    assert!(stderr(&output).contains("preset: NAIP (the file's name)"), "{}", stderr(&output));
    let collection: Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    assert!(collection["rsmoe"]["preset"].as_str().unwrap().starts_with("NAIP"));
    let again = |more: &[&str]| run(&raster, &out, &[&["--restart", "--preset", "none"], more].concat());
    assert_eq!(code(&again(&["--bands", "3,2,1"])), 0);
    let output = again(&["--bands", "red,green,swir"]);
    assert_eq!(code(&output), 2);
    assert!(
        stderr(&output).contains("band \"swir\"") && stderr(&output).contains("hint: "),
        "{}",
        stderr(&output)
    );
    assert_eq!(code(&again(&["--bands", "1,2"])), 2);
    assert_eq!(code(&run(&raster, &out, &["--preset", "spot"])), 2);
}

#[test]
fn a_raster_inside_a_file_is_named_and_done_by_its_name() {
    let (directory, raster, out) = scene();
    let mut second = Recipe::new(80, 48, 3, pattern);
    second.options = &["APPEND_SUBDATASET=YES"];
    drop(second.create(&raster));
    let output = run(&raster, &out, &[]);
    assert_eq!((code(&output), features(&out).len()), (0, 49), "{}", stderr(&output));
    let name = format!("GTIFF_DIR:2:{}", raster.display());
    assert!(
        stderr(&output).contains("holds 2 rasters") && stderr(&output).contains(&name),
        "{}",
        stderr(&output)
    );
    let output = run(Path::new(&name), &out, &["--restart"]);
    assert_eq!((code(&output), features(&out).len()), (0, 4), "{}", stderr(&output));
    let page = directory.path().join("map.html");
    let output = bare().arg("report").arg(&out).arg("--out").arg(&page).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(
        !stderr(&output).contains("another size") && !stderr(&output).contains("no picture"),
        "{}",
        stderr(&output)
    );
    let output = rsmoe().arg("caption").arg(&name).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}

#[test]
fn a_budget_that_is_over_gives_3_and_the_same_command_goes_on() {
    let (_directory, raster, out) = scene();
    // Loading the model takes longer.
    let output = run(&raster, &out, &["--budget", "0.001s"]);
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    assert!(stderr(&output).contains("out of time: 49 tiles not reached"), "{}", stderr(&output));
    assert!(
        stderr(&output)
            .contains("warning: --budget 0.001s: no tile was begun, since loading the model took "),
        "{}",
        stderr(&output)
    );
    assert!(stderr(&output).contains(": give more than "), "{}", stderr(&output));
    assert!(stdout(&output).starts_with("As a whole (confidence "), "what was found out in time is told");
    assert!(features(&out).is_empty());
    let output = run(&raster, &out, &["--budget", "1h", "--summary"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(features(&out).len(), 49);
    let paragraph = stdout(&output);
    assert!(
        paragraph.starts_with("As a whole (confidence ") && paragraph.trim_end().lines().count() == 1,
        "{paragraph}"
    );
    let output = run(&raster, &out, &["--summary", "--json"]);
    let summary: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(summary["summary"].as_str().unwrap(), paragraph.trim_end());
    for text in ["0s", "-1s", "soon", "1d", ""] {
        assert_eq!(code(&run(&raster, &out, &["--budget", text])), 2, "{text}");
    }
}
