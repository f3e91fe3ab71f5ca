//! A run that is killed at any moment: 1,000 SIGKILLs, one after the other. Takes minutes; `cargo test --release --test kills -- --ignored --nocapture`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot be set up fails; its figures are its result"
)]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rsmoe::scene::journal_path;
use support::Recipe;

/// Kills in all.
const KILLS: usize = 1000;
/// Tiles of the scene, of 40 x 24 pixels: 20 batches of 16.
const TILES: usize = 320;
/// Beginning of the sequence of moments, so that a failure can be repeated.
const SEED: u64 = 20_260_801;

fn pattern(band: usize, row: usize, col: usize) -> u16 {
    (1 + (row * 131 + col * 17 + band * 977) % 4000) as u16
}

fn start(raster: &Path, out: &Path) -> Child {
    Command::new(assert_cmd::cargo::cargo_bin("rsmoe"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["--quiet", "--model", "tests/packages/tiny-adapter", "scene"])
        .arg(raster)
        .arg("--out")
        .arg(out)
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The tiles of a journal by their frames; none may be there twice. A torn end counts for nothing.
fn tiles(journal: &Path) -> BTreeSet<u64> {
    let Ok(bytes) = std::fs::read(journal) else { return BTreeSet::new() };
    let mut found = BTreeSet::new();
    let begin = bytes.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |end| end + 1);
    let mut rest = &bytes[begin..];
    let mut is_facts = true;
    while let Some((head, more)) = rest.split_first_chunk::<8>() {
        let length = u32::from_le_bytes(*head.first_chunk().unwrap()) as usize;
        let checksum = u32::from_le_bytes(*head.last_chunk().unwrap());
        let Some((payload, more)) = more.split_at_checked(length) else { break };
        if crc32fast::hash(payload) != checksum {
            break;
        }
        if !is_facts {
            let record: serde_json::Value = serde_json::from_slice(payload).unwrap();
            assert!(found.insert(record["index"].as_u64().unwrap()), "a tile is there twice: {record}");
        }
        (is_facts, rest) = (false, more);
    }
    found
}

/// The next number of a sequence (xorshift), as a share from 0 to 1.
fn share(state: &mut u64) -> f64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 11) as f64 / (1_u64 << 53) as f64
}

#[test]
#[ignore = "takes minutes"]
fn a_thousand_kills_lose_no_tile_double_none_and_change_no_byte() {
    let directory = tempfile::tempdir().unwrap();
    let raster: PathBuf = Recipe::new(40 * 20, 24 * 16, 3, pattern).write(directory.path(), "scene.tif");
    let whole = directory.path().join("whole.geojson");
    let begun = Instant::now();
    assert!(start(&raster, &whole).wait().unwrap().success());
    let longest = begun.elapsed();
    let expected = std::fs::read(&whole).unwrap();
    let out = directory.path().join("out.geojson");
    let journal = journal_path(&out);
    let (mut state, mut kills, mut in_journal, mut finished) = (SEED, 0, 0, 0);
    while kills < KILLS {
        let before = tiles(&journal);
        let mut program = start(&raster, &out);
        let moment = longest.mul_f64(share(&mut state));
        let started = Instant::now();
        while started.elapsed() < moment && program.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_micros(200));
        }
        let ended = program.try_wait().unwrap();
        program.kill().unwrap();
        let status = program.wait().unwrap();
        let after = tiles(&journal);
        assert!(before.is_subset(&after), "kill {kills}: tiles {:?} are lost", before.difference(&after));
        if ended.is_some_and(|status| status.success()) {
            finished += 1;
            assert!(std::fs::read(&out).unwrap() == expected, "after {kills} kills");
            assert_eq!(after.len(), TILES);
            std::fs::remove_file(&out).unwrap();
            std::fs::remove_file(&journal).unwrap();
        } else {
            assert_eq!(ended, None, "kill {kills}: it ended by itself: {status}");
            kills += 1;
            in_journal += usize::from(after.len() > before.len());
            if kills % 100 == 0 {
                println!("{kills} kills, {finished} finished runs");
            }
        }
    }
    let status = start(&raster, &out).wait().unwrap();
    assert!(status.success() && std::fs::read(&out).unwrap() == expected);
    println!(
        "{kills} kills, {in_journal} of them after new tiles; {} finished runs with equal bytes",
        finished + 1
    );
}
