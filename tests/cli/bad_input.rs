//! Broken and hostile files of every kind that users and attackers bring: no signal, no panic, the exit code of the contract, and an
//! error that names file, cause and next step. `tests/bad_input.py` does the same over a corpus.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::rasters::Recipe;
use super::support::{code, rsmoe, stderr, stdout};

/// What must come of a file.
struct Expected {
    name: &'static str,
    /// Exit codes of `caption` and of `scene`.
    caption: i32,
    scene: i32,
    /// What the error, or the reason of a tile, says.
    says: &'static str,
}

fn expect(name: &'static str, caption: i32, scene: i32, says: &'static str) -> Expected {
    Expected { name, caption, scene, says }
}

fn pattern(band: usize, row: usize, col: usize) -> u8 {
    (1 + (row * 7919 + col * 104_729 + band * 31) % 250) as u8
}

/// A sound TIFF of 4 x 4 deflated blocks of 16 pixels, as bytes.
fn tiff(directory: &Path) -> Vec<u8> {
    let mut recipe = Recipe::new(64, 64, 3, pattern);
    recipe.options = &["TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=16", "COMPRESS=DEFLATE"];
    let path = recipe.write(directory, "sound.tif");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    bytes
}

/// A PNG of 8-bit grey pixels that ends after its header and some bytes that are no pixels.
fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |name: &[u8; 4], data: &[u8]| {
        bytes.extend((data.len() as u32).to_be_bytes());
        let body = [name.as_slice(), data].concat();
        bytes.extend(&body);
        bytes.extend(crc32fast::hash(&body).to_be_bytes());
    };
    chunk(b"IHDR", &[&width.to_be_bytes()[..], &height.to_be_bytes()[..], &[8, 0, 0, 0, 0]].concat());
    chunk(b"IDAT", &[0x78, 0x9c, 0x03, 0x00]);
    chunk(b"IEND", &[]);
    bytes
}

/// A virtual raster of 20 x 20 pixels.
fn vrt(size: u32, band: &str) -> Vec<u8> {
    format!("<VRTDataset rasterXSize=\"{size}\" rasterYSize=\"{size}\"><VRTRasterBand dataType=\"Byte\" band=\"1\">{band}</VRTRasterBand></VRTDataset>")
        .into_bytes()
}

fn source(name: &str) -> String {
    format!(
        "<SimpleSource><SourceFilename relativeToVRT=\"1\">{name}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
    )
}

fn files(directory: &Path) -> Vec<Expected> {
    let sound = tiff(directory);
    let write = |name: &str, bytes: &[u8]| std::fs::write(directory.join(name), bytes).unwrap();
    write("empty.tif", b"");
    write("text.tif", b"these are notes");
    write("truncated.tif", &sound[..sound.len() / 2]);
    let mut zeros = sound.clone();
    let half = zeros.len() / 2;
    zeros[half..].fill(0);
    write("zeros.tif", &zeros);
    let mut flipped = sound.clone();
    for place in (sound.len() * 3 / 4..sound.len()).step_by(97) {
        flipped[place] ^= 0x24;
    }
    write("flipped.tif", &flipped);
    write("bomb.png", &png(30_000, 30_000));
    write("zero.png", &png(0, 12));
    write("cut.png", &png(50, 40));
    write("huge.vrt", &vrt(i32::MAX as u32, &source("sound.tif")));
    write("missing.vrt", &vrt(20, &source("nowhere.tif")));
    write("network.vrt", &vrt(20, &source("/vsicurl/http://127.0.0.1:9/x.tif")));
    let code = "<PixelFunctionType>f</PixelFunctionType><PixelFunctionLanguage>Python</PixelFunctionLanguage>\
                <PixelFunctionCode>def f(): open('ran', 'w')</PixelFunctionCode>";
    write("code.vrt", &vrt(20, code));
    let mut nothing = Recipe::new(50, 40, 1, |_, _, _| f32::NAN);
    nothing.nodata = Some(f64::NAN);
    nothing.write(directory, "nothing.tif");
    let mut absurd = Recipe::new(50, 40, 1, pattern);
    absurd.transform = Some([1e300, 1e290, 0.0, -1e300, 0.0, 1e290]);
    absurd.write(directory, "absurd.tif");
    Recipe::new(1, 1, 1, pattern).write(directory, "pixel.tif");
    let mut outside = Recipe::new(50, 40, 1, pattern);
    outside.nodata = Some(-9999.0);
    outside.write(directory, "outside.tif");
    let mut big_endian = Recipe::new(50, 40, 3, pattern);
    big_endian.options = &["ENDIANNESS=BIG", "BIGTIFF=YES", "COMPRESS=LZW", "INTERLEAVE=BAND"];
    big_endian.write(directory, "big.tif");
    Recipe::new(50, 40, 7, pattern).write(directory, "seven.tif");
    vec![
        expect("absurd.tif", 0, 0, ""),
        expect("big.tif", 0, 0, ""),
        expect("bomb.png", 4, 4, "expected at most"),
        expect("code.vrt", 4, 4, "holds program code"),
        expect("cut.png", 4, 4, ""),
        expect("empty.tif", 4, 4, "not a raster"),
        // The decimated read of a caption needs every block.
        expect("flipped.tif", 4, 3, "cannot be read"),
        expect("huge.vrt", 4, 4, "expected at most"),
        expect("missing.vrt", 4, 4, "nowhere.tif"),
        expect("network.vrt", 4, 4, "/vsicurl/http://127.0.0.1:9/x.tif"),
        expect("nothing.tif", 4, 0, "no valid pixel"),
        expect("outside.tif", 0, 0, ""),
        expect("pixel.tif", 0, 0, ""),
        expect("seven.tif", 4, 2, "which of its 7 bands"),
        expect("text.tif", 4, 4, "not a raster"),
        expect("truncated.tif", 4, 3, "cannot be read"),
        expect("zero.png", 4, 4, ""),
        expect("zeros.tif", 4, 3, "cannot be read"),
    ]
}

#[test]
fn broken_files_among_others_are_recorded_with_file_cause_and_next_step() {
    let directory = tempfile::tempdir().unwrap();
    let expected = files(directory.path());
    let paths: Vec<PathBuf> = expected.iter().map(|file| directory.path().join(file.name)).collect();
    let output = rsmoe().arg("caption").arg("--jsonl").args(&paths).output().unwrap();
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
    let lines = stdout(&output);
    let records: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), expected.len());
    for (record, file) in records.iter().zip(&expected) {
        if file.caption == 0 {
            assert!(record["caption"].is_string(), "{record}");
            continue;
        }
        let message = record["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(file.name) && message.contains(file.says), "{record}");
        assert!(record["error"]["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{record}");
    }
    assert!(!Path::new("ran").exists() && !directory.path().join("ran").exists(), "code of a file was run");
}

#[test]
fn a_broken_scene_has_its_exit_code_and_every_tile_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    for file in files(directory.path()) {
        let out = directory.path().join(format!("{}.geojsonl", file.name));
        let raster = directory.path().join(file.name);
        let output = rsmoe().arg("scene").arg(&raster).arg("--out").arg(&out).output().unwrap();
        let told = stderr(&output);
        assert_eq!(code(&output), file.scene, "{}: {told}", file.name);
        assert!(!told.contains("panicked"), "{}: {told}", file.name);
        let tiles = std::fs::read_to_string(&out).unwrap_or_default();
        assert!(told.contains(file.says) || tiles.contains(file.says), "{}: {told}", file.name);
        if file.scene != 0 {
            assert!(told.contains(file.name) && told.contains("hint: "), "{}: {told}", file.name);
        }
        for line in tiles.lines() {
            let properties = &serde_json::from_str::<Value>(line).unwrap()["properties"];
            assert!(properties["status"] == "captioned" || properties["reason"].is_string(), "{line}");
        }
    }
}
