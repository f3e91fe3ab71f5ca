//! No room for what is to be written: what is done is kept, and the same command goes on once there is room.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use super::rasters::Recipe;
use super::support::{code, package, stderr};

/// Unit of `ulimit -f`, bytes.
const BLOCK: u64 = 512;

fn pattern(band: usize, row: usize, col: usize) -> u16 {
    (1 + (row * 131 + col * 17 + band * 977) % 4000 + row * 3) as u16
}

/// 280 x 168 pixels: 7 x 7 tiles of the tiny model.
fn scene() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let raster = Recipe::new(280, 168, 3, pattern).write(directory.path(), "scene.tif");
    (directory, raster)
}

/// A run that may write files of so many bytes at most.
fn run(raster: &Path, out: &Path, most: Option<u64>) -> Output {
    let limit = most.map_or_else(|| "unlimited".to_owned(), |bytes| (bytes / BLOCK).to_string());
    Command::new("sh")
        .args(["-c", &format!("ulimit -f {limit}; exec \"$0\" \"$@\"")])
        .arg(assert_cmd::cargo::cargo_bin("rsmoe"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["--model".as_ref(), package("tiny-adapter").as_os_str(), "scene".as_ref(), raster.as_os_str()])
        .args(["--out".as_ref(), out.as_os_str()])
        .output()
        .unwrap()
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn journal(out: &Path) -> PathBuf {
    PathBuf::from(format!("{}.journal", out.display()))
}

#[test]
fn a_journal_that_is_full_ends_the_run_with_75_and_keeps_what_is_done() {
    let (directory, raster) = scene();
    let whole = directory.path().join("whole.geojson");
    assert_eq!(code(&run(&raster, &whole, None)), 0);
    let out = directory.path().join("out.geojson");
    let output = run(&raster, &out, Some(length(&journal(&whole)) / 2));
    assert_eq!(code(&output), 75, "{}", stderr(&output));
    let told = stderr(&output);
    assert!(told.contains("out.geojson.journal: cannot be written") && told.contains("make room"), "{told}");
    assert!(!out.exists());
    let output = run(&raster, &out, None);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(!stderr(&output).contains("(0 resumed)"), "{}", stderr(&output));
    assert!(std::fs::read(&out).unwrap() == std::fs::read(&whole).unwrap());
}

#[test]
fn an_output_that_is_full_ends_the_run_with_75_and_leaves_no_part_of_itself() {
    let (directory, raster) = scene();
    let out = directory.path().join("out.gpkg");
    let output = run(&raster, &out, Some(64 << 10));
    assert_eq!(code(&output), 75, "{}", stderr(&output));
    assert!(stderr(&output).contains("make room"), "{}", stderr(&output));
    let names: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "the scene and the journal: {names:?}");
    let output = run(&raster, &out, None);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stderr(&output).contains("(49 resumed)"), "{}", stderr(&output));
}
