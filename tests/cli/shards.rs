//! Four processes share a scene out, one of them is killed and run again: merged, they are what one run writes.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::rasters::Recipe;
use super::support::{bare, code, package, rsmoe, stderr};

/// Longest wait for a shard to begin.
const LONGEST: Duration = Duration::from_mins(2);
/// Tiles of the scene, of 40 x 24 px.
const TILES: usize = 20 * 16;
const FORMATS: [&str; 3] = ["geojson", "gpkg", "parquet"];
/// The order in which the shards are started; the first is the one that is killed. Their formats differ too.
const SHARDS: [(&str, &str); 4] = [("3/4", "csv"), ("1/4", "geojson"), ("4/4", "parquet"), ("2/4", "gpkg")];

fn pattern(band: usize, row: usize, col: usize) -> u16 {
    // A border without data: tiles that are skipped are merged too.
    if col < 60 { 0 } else { (1 + (row * 131 + col * 17 + band * 977) % 4000 + row * 3) as u16 }
}

fn scene(directory: &Path) -> PathBuf {
    let mut recipe = Recipe::new(40 * 20, 24 * 16, 3, pattern);
    recipe.nodata = Some(0.0);
    recipe.write(directory, "scene.tif")
}

fn start(raster: &Path, out: &Path, shard: &str) -> Child {
    Command::new(assert_cmd::cargo::cargo_bin("rsmoe"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["--quiet", "--model"])
        .arg(package("tiny-adapter"))
        .arg("scene")
        .arg(raster)
        .arg("--out")
        .arg(out)
        .args(["--ask", "Is there water?", "--shard", shard])
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn journal(out: &Path) -> PathBuf {
    PathBuf::from(format!("{}.journal", out.display()))
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Starts a shard and kills it once tiles are in its journal, but not all.
fn killed(raster: &Path, out: &Path, shard: &str) {
    let begun = Instant::now();
    loop {
        let mut program = start(raster, out, shard);
        let mut facts = 0;
        // The facts of the run come first, and in one piece; what is longer holds tiles.
        while begun.elapsed() < LONGEST && (facts == 0 || length(&journal(out)) == facts) {
            std::thread::sleep(Duration::from_millis(1));
            facts = if facts == 0 { length(&journal(out)) } else { facts };
        }
        let is_running = program.try_wait().unwrap().is_none();
        program.kill().unwrap();
        program.wait().unwrap();
        assert!(length(&journal(out)) > facts && facts > 0, "it has begun");
        if is_running && !out.exists() {
            return;
        }
        // A machine may be quick enough to finish first.
        std::fs::remove_file(out).unwrap();
        std::fs::remove_file(journal(out)).unwrap();
    }
}

#[test]
fn four_shards_of_which_one_is_killed_and_run_again_merge_to_the_bytes_of_one_run_in_every_format() {
    let directory = tempfile::tempdir().unwrap();
    let raster = scene(directory.path());
    let place = |name: &str| directory.path().join(name);
    let parts: Vec<PathBuf> =
        SHARDS.iter().map(|(shard, format)| place(&format!("part-{}.{format}", &shard[..1]))).collect();
    let mut others: Vec<Child> =
        (1..4).map(|number| start(&raster, &parts[number], SHARDS[number].0)).collect();
    killed(&raster, &parts[0], SHARDS[0].0);
    for other in &mut others {
        assert!(other.wait().unwrap().success());
    }
    let merge = |out: &Path| bare().arg("merge").args(&parts).arg("--out").arg(out).output().unwrap();
    let early = merge(&place("early.gpkg"));
    assert_eq!(code(&early), 2, "a shard is missing tiles");
    assert!(stderr(&early).contains("part-3.csv (shard 3/4)"), "{}", stderr(&early));
    assert!(start(&raster, &parts[0], SHARDS[0].0).wait().unwrap().success());
    for format in FORMATS {
        let (whole, merged) = (place(&format!("whole.{format}")), place(&format!("merged.{format}")));
        let output = rsmoe()
            .arg("scene")
            .arg(&raster)
            .arg("--out")
            .arg(&whole)
            .args(["--ask", "Is there water?"])
            .output()
            .unwrap();
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let output = merge(&merged);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let skipped = 16;
        let said = format!("4 shards: {} tiles captioned, {skipped} skipped, 0 failed", TILES - skipped);
        assert!(stderr(&output).contains(&said), "{}", stderr(&output));
        assert!(std::fs::read(&whole).unwrap() == std::fs::read(&merged).unwrap(), "{format}");
    }
}
