//! Any journal: read or refused, never a panic; what it holds can be read back, gone on with, and converted.
//!
//! The input's parts, separated by the byte 0x1E, become frames with right lengths and checksums, so that their JSON is reached. An input
//! that begins with a zero byte is the file itself.

#![no_main]

use std::fs;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use rsmoe::scene::{
    EarlierRun, Existing, Journal, RunFacts, SceneError, TileOutcome, TileRecord, convert, journal_path,
};

const MAGIC: &[u8] = b"rsmoe-journal 1\n";
const SEPARATOR: u8 = 0x1E;
/// Most tiles of a run that is gone through tile by tile here.
const FEW_TILES: usize = 1 << 12;

fuzz_target!(|input: &[u8]| {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let out = directory.path().join("out.csv");
    let path = journal_path(&out);
    fs::write(&path, file_of(input)).expect("writable");
    let Ok(Some(facts)) = Journal::read_facts(&path) else { return };
    if facts.grid.count() <= FEW_TILES {
        check(&path, &facts);
    }
});

fn file_of(input: &[u8]) -> Vec<u8> {
    if let Some((0, file)) = input.split_first() {
        return file.to_vec();
    }
    let mut file = MAGIC.to_vec();
    for payload in input.split(|&byte| byte == SEPARATOR) {
        file.extend((payload.len() as u32).to_le_bytes());
        file.extend(crc32fast::hash(payload).to_le_bytes());
        file.extend(payload);
    }
    file
}

fn check(path: &Path, facts: &RunFacts) {
    let done = {
        let Ok(mut journal) = Journal::open_to_read(path, facts.clone()) else { return };
        let done: Vec<usize> = (0..facts.grid.count()).filter(|&index| journal.has(index)).collect();
        assert_eq!(journal.counts().total(), done.len());
        for &index in &done {
            let record = journal.read(index).expect("readable").expect("a tile that is done has its record");
            assert_eq!(record.index, index);
        }
        done
    };
    for extension in ["csv", "geojson", "geojsonl", "parquet"] {
        let out = path.with_file_name(format!("converted.{extension}"));
        match convert(path, &out, Existing::Keep) {
            Ok(summary) => assert_eq!(summary.counts.total(), done.len()),
            // A layer holds polygons only; texts hold whatever geometry a record has.
            Err(SceneError::JournalUnreadable { .. }) if extension == "parquet" => assert!(!out.exists()),
            Err(error) => panic!("{extension}: {error}"),
        }
    }
    go_on(path, facts, &done);
}

/// A run that goes on adds its tile and loses none.
fn go_on(path: &Path, facts: &RunFacts, done: &[usize]) {
    let missing = (0..facts.grid.count()).find(|index| !done.contains(index));
    let mut journal = Journal::open(path, facts.clone(), EarlierRun::Resume).expect("the run goes on");
    if let Some((index, window)) = missing.and_then(|index| Some((index, facts.grid.window(index)?))) {
        let outcome = TileOutcome::Failed { reason: "a trial".to_owned() };
        let record = TileRecord { index, window, valid_fraction: None, gsd_m: None, geometry: None, outcome };
        journal.append(&[record]).expect("writable");
    }
    drop(journal);
    let journal = Journal::open_to_read(path, facts.clone()).expect("readable");
    assert_eq!(journal.counts().total(), done.len() + usize::from(missing.is_some()));
    assert!(done.iter().copied().chain(missing).all(|index| journal.has(index)));
}
