//! Files that crash or hang their decoder: what is read in a process of its own costs its tiles, and not the run.

use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::rasters::Recipe;
use super::support::{code, package, rsmoe, stderr, stdout};

/// Longest wait for something that should happen.
const LONGEST: Duration = Duration::from_mins(1);
/// How long a reader takes at most until it waits for the pipe, where the kernel does not tell that it does.
const LONG_ENOUGH: Duration = Duration::from_secs(5);
/// Size and number of the scene's tiles: the input of the tiny model, so that nothing is resampled.
const WIDTH: usize = 40;
const HEIGHT: usize = 24;
const TILES: usize = 4;
/// The tile that cannot be read.
const STUCK: usize = 2;

fn pattern(_: usize, row: usize, col: usize) -> u8 {
    (1 + (row * 131 + col * 17) % 250) as u8
}

/// A scene of four tiles in a row, each in a file of its own; the third file is a pipe into which nobody writes: whoever opens it waits.
fn scene() -> (TempDir, PathBuf, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let part = |number: usize| directory.path().join(format!("part-{number}.tif"));
    for number in (0..TILES).filter(|&number| number != STUCK) {
        Recipe::new(WIDTH, HEIGHT, 1, pattern).write(directory.path(), &format!("part-{number}.tif"));
    }
    assert!(std::process::Command::new("mkfifo").arg(part(STUCK)).status().unwrap().success());
    let source = |number: usize| {
        format!(
            "<SimpleSource><SourceFilename relativeToVRT=\"1\">part-{number}.tif</SourceFilename><SourceBand>1</SourceBand>\
             <SourceProperties RasterXSize=\"{WIDTH}\" RasterYSize=\"{HEIGHT}\" DataType=\"Byte\" BlockXSize=\"{WIDTH}\" BlockYSize=\"{HEIGHT}\"/>\
             <SrcRect xOff=\"0\" yOff=\"0\" xSize=\"{WIDTH}\" ySize=\"{HEIGHT}\"/>\
             <DstRect xOff=\"{}\" yOff=\"0\" xSize=\"{WIDTH}\" ySize=\"{HEIGHT}\"/></SimpleSource>",
            number * WIDTH
        )
    };
    let sources: String = (0..TILES).map(source).collect();
    let raster = directory.path().join("scene.vrt");
    let text = format!(
        "<VRTDataset rasterXSize=\"{}\" rasterYSize=\"{HEIGHT}\"><VRTRasterBand dataType=\"Byte\" band=\"1\">{sources}\
         </VRTRasterBand></VRTDataset>",
        WIDTH * TILES
    );
    std::fs::write(&raster, text).unwrap();
    let out = directory.path().join("out.geojsonl");
    (directory, raster, out)
}

fn start(raster: &Path, out: &Path, more: &[&str]) -> Child {
    std::process::Command::new(assert_cmd::cargo::cargo_bin("rsmoe"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["--model".as_ref(), package("tiny-adapter").as_os_str(), "scene".as_ref(), raster.as_os_str()])
        .args(["--out".as_ref(), out.as_os_str()])
        .args(more)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Whether a process waits in opening a pipe; `None` where the kernel does not tell.
fn waits_in_open(process: u32) -> Option<bool> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).ok()?;
    let places: Vec<String> = threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("wchan")).ok())
        .collect();
    let tells = places.iter().any(|place| place != "0" && !place.is_empty());
    tells.then(|| places.iter().any(|place| place == "wait_for_partner"))
}

/// The reader of a program, once it waits for the pipe; `known` are readers that are gone.
fn reader_in_the_pipe(program: &Child, known: &[u32]) -> u32 {
    let begun = Instant::now();
    let mut seen: Option<(u32, Instant)> = None;
    loop {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", program.id())).unwrap();
        let lists =
            tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
        let readers: Vec<u32> = lists
            .flat_map(|list| list.split(' ').filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
            .collect();
        if let Some(&reader) = readers.iter().find(|reader| !known.contains(reader)) {
            let (_, since) = seen.filter(|(seen, _)| *seen == reader).unwrap_or((reader, Instant::now()));
            seen = Some((reader, since));
            if waits_in_open(reader).unwrap_or_else(|| since.elapsed() > LONG_ENOUGH) {
                return reader;
            }
        }
        assert!(begun.elapsed() < LONGEST, "no reader waits for the pipe");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn send(signal: &str, process: u32) {
    let status =
        std::process::Command::new("kill").arg(format!("-{signal}")).arg(process.to_string()).status();
    assert!(status.unwrap().success());
}

fn tiles(out: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(out).unwrap();
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["properties"].clone()).collect()
}

/// Every tile is captioned but the stuck one, which failed with this reason.
fn assert_cost_is_one_tile(output: &Output, out: &Path, reason: &str) {
    assert_eq!(code(output), 3, "{}", stderr(output));
    let tiles = tiles(out);
    assert_eq!(tiles.len(), TILES);
    for (number, tile) in tiles.iter().enumerate() {
        assert_eq!(tile["status"], if number == STUCK { "failed" } else { "captioned" }, "{tile}");
    }
    assert_eq!(tiles[STUCK]["reason"], reason);
    assert!(stderr(output).contains("scene.vrt: 1 of 4 tiles failed"), "{}", stderr(output));
    assert!(stderr(output).contains("hint: "), "{}", stderr(output));
}

#[test]
fn a_read_that_hangs_costs_its_tile() {
    let (_directory, raster, out) = scene();
    let output = start(&raster, &out, &["--read-timeout", "1.5"]).wait_with_output().unwrap();
    assert_cost_is_one_tile(&output, &out, "reading did not end within 1.5 s");
}

#[test]
fn a_read_that_crashes_is_tried_once_more_and_costs_its_tile() {
    let (_directory, raster, out) = scene();
    let program = start(&raster, &out, &[]);
    let first = reader_in_the_pipe(&program, &[]);
    send("ABRT", first);
    let second = reader_in_the_pipe(&program, &[first]);
    send("ABRT", second);
    assert_cost_is_one_tile(
        &program.wait_with_output().unwrap(),
        &out,
        "reading it crashed the reader (signal 6)",
    );
}

#[test]
fn a_signal_ends_a_run_whose_read_hangs_and_the_same_command_resumes() {
    let (directory, raster, out) = scene();
    let program = start(&raster, &out, &[]);
    reader_in_the_pipe(&program, &[]);
    send("TERM", program.id());
    let output = program.wait_with_output().unwrap();
    assert_eq!(code(&output), 75, "{}", stderr(&output));
    assert!(stderr(&output).contains("the same command resumes"), "{}", stderr(&output));
    let part = directory.path().join(format!("part-{STUCK}.tif"));
    std::fs::remove_file(&part).unwrap();
    std::fs::copy(directory.path().join("part-0.tif"), part).unwrap();
    let output = start(&raster, &out, &[]).wait_with_output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(
        tiles(&out).iter().all(|tile| tile["status"] == "captioned"),
        "an interrupted read is no failure"
    );
}

#[test]
fn a_picture_whose_read_hangs_is_an_input_that_failed() {
    let (_directory, raster, _) = scene();
    let output =
        rsmoe().arg("caption").arg("--jsonl").args(["--read-timeout", "1"]).arg(&raster).output().unwrap();
    assert_eq!(code(&output), 4, "{}", stderr(&output));
    let record: Value = serde_json::from_str(stdout(&output).trim()).unwrap();
    assert!(
        record["error"]["message"].as_str().unwrap().ends_with("scene.vrt: reading did not end within 1 s"),
        "{record}"
    );
    assert!(record["error"]["hint"].as_str().unwrap().contains("--read-timeout"), "{record}");
}

#[test]
fn reading_in_the_program_itself_gives_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let mut recipe = Recipe::new(200, 90, 3, |band, row, col| f32::from(pattern(band, row, col)) / 3.0);
    recipe.nodata = Some(f64::NAN);
    recipe.value =
        |band, row, col| if row < 30 && col < 50 { f32::NAN } else { (band * 50 + row + col) as f32 / 3.0 };
    let raster = recipe.write(directory.path(), "scene.tif");
    let outputs: Vec<Vec<u8>> = ["process", "inline"]
        .iter()
        .map(|reader| {
            let out = directory.path().join(format!("{reader}.geojson"));
            let output = rsmoe()
                .args(["--reader", reader, "scene"])
                .arg(&raster)
                .arg("--out")
                .arg(&out)
                .output()
                .unwrap();
            assert_eq!(code(&output), 0, "{}", stderr(&output));
            std::fs::read(out).unwrap()
        })
        .collect();
    assert!(outputs[0] == outputs[1]);
}

#[test]
fn times_that_cannot_be_waited_for_are_refused() {
    for time in ["0", "-1", "NaN", "1e9", "soon"] {
        let output = rsmoe().args(["caption", "x.tif", &format!("--read-timeout={time}")]).output().unwrap();
        assert_eq!(code(&output), 2, "{time}");
        assert!(stderr(&output).contains("for example 60"), "{time}: {}", stderr(&output));
    }
}
