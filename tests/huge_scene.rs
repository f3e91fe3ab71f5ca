//! A scene of 100,000 x 100,000 pixels, nearly all of it empty, against one of 2,000 x 2,000: the same memory, and no time for what is
//! empty. Takes minutes; `cargo test --release --test huge_scene -- --ignored --nocapture`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot be set up fails; its figures are its result"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use gdal::raster::{Buffer, RasterCreationOptions};
use gdal::spatial_ref::SpatialRef;
use gdal::{DriverManager, Metadata};
use serde_json::Value;

/// Side of a block of the file and of a tile, pixels.
const SIDE: usize = 500;
/// Side of a block of the file: GDAL wants a multiple of 16.
const BLOCK: usize = 512;
const HUGE: usize = 100_000;
const SMALL: usize = 2_000;
/// Most memory of the huge scene, as a multiple of the small one's.
const MOST_MEMORY: f64 = 1.05;

/// Bands of 16 bits: the real data are more than a cache of blocks may hold.
const BANDS: usize = 3;

fn pattern(band: usize, row: usize, col: usize) -> u16 {
    (1 + (row * 131 + col * 17 + band * 977) % 4000) as u16
}

/// A cloud-optimized GeoTIFF that holds data in squares of 2,000 pixels with these upper left corners, and nothing elsewhere.
fn write_cog(directory: &Path, name: &str, side: usize, places: &[(usize, usize)]) -> PathBuf {
    let options = [
        "TILED=YES",
        "COMPRESS=DEFLATE",
        "SPARSE_OK=TRUE",
        "BIGTIFF=YES",
        "BLOCKXSIZE=512",
        "BLOCKYSIZE=512",
    ];
    let options = options.into_iter().collect::<RasterCreationOptions>();
    let plain = directory.join(format!("{name}.plain.tif"));
    let driver = DriverManager::get_driver_by_name("GTiff").unwrap();
    let mut dataset =
        driver.create_with_band_type_with_options::<u16, _>(&plain, side, side, BANDS, &options).unwrap();
    dataset.set_geo_transform(&[500_000.0, 0.5, 0.0, 5_400_000.0, 0.0, -0.5]).unwrap();
    dataset.set_spatial_ref(&SpatialRef::from_epsg(32632).unwrap()).unwrap();
    for band in 0..BANDS {
        let mut raster_band = dataset.rasterband(band + 1).unwrap();
        raster_band.set_no_data_value(Some(0.0)).unwrap();
        for &(col, row) in places {
            let pixels = (0..SMALL)
                .flat_map(|down| (0..SMALL).map(move |across| pattern(band, row + down, col + across)))
                .collect();
            let mut buffer = Buffer::new((SMALL, SMALL), pixels);
            raster_band.write((col as isize, row as isize), (SMALL, SMALL), &mut buffer).unwrap();
        }
    }
    dataset.close().unwrap();
    let path = directory.join(name);
    let options = ["COMPRESS=DEFLATE", "SPARSE_OK=TRUE", "BIGTIFF=YES", "OVERVIEW_RESAMPLING=NEAREST"];
    let options = options.into_iter().collect::<RasterCreationOptions>();
    let dataset = gdal::Dataset::open(&plain).unwrap();
    let cog =
        dataset.create_copy(&DriverManager::get_driver_by_name("COG").unwrap(), &path, &options).unwrap();
    assert_eq!(cog.rasterband(1).unwrap().metadata_item("BLOCK_OFFSET_1_1", "TIFF").is_some(), side == SMALL);
    cog.close().unwrap();
    std::fs::remove_file(plain).unwrap();
    path
}

/// A number of a process's status, such as its parent or its largest resident memory so far, kB.
fn status(process: u32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The processes that a process started.
fn children(process: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|&id| status(id, "PPid") == Some(u64::from(process))).collect()
}

/// Largest resident memory so far, bytes: of the program, and of its reader.
#[derive(Clone, Copy, Default)]
struct Peaks {
    program: u64,
    reader: u64,
}

impl Peaks {
    fn sum(self) -> u64 {
        self.program + self.reader
    }

    fn update(&mut self, program: u32, readers: &[u32]) {
        let peak = |process: u32| status(process, "VmHWM").unwrap_or(0) * 1024;
        self.program = self.program.max(peak(program));
        self.reader = self.reader.max(readers.iter().copied().map(peak).sum());
    }
}

/// Runs a scene; gives its time, its memory and its tiles.
fn run(raster: &Path) -> (Duration, Peaks, Vec<Value>) {
    let out = raster.with_extension("geojsonl");
    let begun = Instant::now();
    let mut program = Command::new(assert_cmd::cargo::cargo_bin("rsmoe"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["--quiet", "--model", "tests/packages/tiny-adapter", "scene"])
        .arg(raster)
        .arg("--out")
        .arg(&out)
        .args(["--tile-size", &SIDE.to_string()])
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let (mut peak, mut readers) = (Peaks::default(), Vec::new());
    while program.try_wait().unwrap().is_none() {
        if readers.is_empty() {
            readers = children(program.id());
        }
        peak.update(program.id(), &readers);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(program.wait().unwrap().success());
    let time = begun.elapsed();
    let text = std::fs::read_to_string(&out).unwrap();
    (time, peak, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
#[ignore = "takes minutes"]
fn a_huge_scene_takes_the_memory_of_a_small_one_and_skips_what_is_empty() {
    let directory = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let small = write_cog(directory.path(), "small.tif", SMALL, &[(0, 0)]);
    let corners = [(10, 20), (100, 7), (150, 180), (40, 60), (90, 90), (7, 120), (180, 40), (130, 150)];
    let places = corners.map(|(col, row)| (col * BLOCK, row * BLOCK));
    let huge = write_cog(directory.path(), "huge.tif", HUGE, &places);
    println!(
        "files made in {:.0} s, the huge one has {} bytes",
        begun.elapsed().as_secs_f64(),
        huge.metadata().unwrap().len()
    );
    let (small_time, small_peak, small_tiles) = run(&small);
    let (huge_time, huge_peak, huge_tiles) = run(&huge);
    for (name, time, peak, tiles) in
        [("small", small_time, small_peak, &small_tiles), ("huge", huge_time, huge_peak, &huge_tiles)]
    {
        let captioned = tiles.iter().filter(|tile| tile["properties"]["status"] == "captioned").count();
        println!(
            "{name}: {} tiles, {captioned} captioned, {:.1} s, at most {:.1} MB: the program {:.1}, its reader {:.1}",
            tiles.len(),
            time.as_secs_f64(),
            peak.sum() as f64 / 1e6,
            peak.program as f64 / 1e6,
            peak.reader as f64 / 1e6
        );
    }
    assert_eq!(huge_tiles.len(), (HUGE / SIDE).pow(2));
    for tile in &huge_tiles {
        let window = &tile["properties"]["window"];
        let at = |name: &str| window[name].as_u64().unwrap() as usize;
        // Blocks that a square touches are in the file as a whole.
        let touches = |start: usize, origin: usize| {
            start < (origin + SMALL).next_multiple_of(BLOCK) && start + SIDE > origin / BLOCK * BLOCK
        };
        let has_blocks = places.iter().any(|&(col, row)| touches(at("col"), col) && touches(at("row"), row));
        let is_absent = tile["properties"]["reason"] == "the file has no data here";
        assert_eq!(is_absent, !has_blocks, "{tile}");
    }
    let ratio = huge_peak.sum() as f64 / small_peak.sum() as f64;
    println!("memory of the huge scene: {:.1} % of the small one's", ratio * 100.0);
    assert!(huge_peak.reader > 0 && small_peak.reader > 0, "the reader counts");
    assert!(ratio < MOST_MEMORY, "{ratio}");
}
