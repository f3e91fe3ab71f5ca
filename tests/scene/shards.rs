//! Shards, put together.

use rsmoe::scene::{Existing, PastRunError, merge};

use super::*;

/// The shards of a scene, run; and the settings of the whole, not run.
fn shards(directory: &Path, settings: &SceneSettings, count: usize) -> Vec<PathBuf> {
    let run = |number: usize| {
        let out = directory.join(format!("part-{number}.geojson"));
        let shard = format!("{number}/{count}").parse().unwrap();
        let settings = SceneSettings { shard, out: out.clone(), ..settings.clone() };
        go(&settings, &mut Stand::default()).unwrap();
        out
    };
    (1..=count).map(run).collect()
}

fn past(result: Result<impl std::fmt::Debug, SceneError>) -> PastRunError {
    match result.unwrap_err() {
        SceneError::Past { source } => source,
        other => unreachable!("{other}"),
    }
}

#[test]
fn merged_shards_have_the_bytes_of_one_run() {
    let (directory, mut settings) = scene();
    let mut parts = shards(directory.path(), &settings, 3);
    parts.reverse();
    for extension in ["geojson", "geojsonl", "csv", "gpkg", "fgb", "parquet"] {
        settings.out = directory.path().join(format!("whole.{extension}"));
        go(&settings, &mut Stand::default()).unwrap();
        let merged = directory.path().join(format!("merged.{extension}"));
        let summary = merge(&parts, &merged, Existing::Keep).unwrap();
        assert_eq!((summary.shards, summary.counts.captioned), (3, 35));
        let read = |path: &Path| std::fs::read(path).unwrap();
        assert!(read(&merged) == read(&settings.out), "{extension}");
    }
    settings.out = directory.path().join("merged.csv");
    let mut stand = Stand::default();
    assert_eq!(go(&settings, &mut stand).unwrap().resumed, 35);
    assert_eq!(stand.described, 0, "a merged scene is a finished one");
}

#[test]
fn more_shards_than_batches_are_merged_too() {
    let (directory, settings) = scene();
    let parts = shards(directory.path(), &settings, 12);
    let merged = directory.path().join("merged.geojson");
    let journals = parts.iter().map(|part| journal_path(part));
    let both: Vec<PathBuf> = parts.iter().cloned().chain(journals).collect();
    let summary = merge(&both, &merged, Existing::Keep).unwrap();
    assert_eq!(
        (summary.shards, summary.counts.captioned),
        (12, 35),
        "outputs and journals, as a pattern may name"
    );
}

#[test]
fn a_missing_a_repeated_and_an_unfinished_shard_are_named() {
    let (directory, settings) = scene();
    let parts = shards(directory.path(), &settings, 4);
    let merged = directory.path().join("merged.geojson");
    let error = past(merge(&[parts[0].clone(), parts[2].clone()], &merged, Existing::Keep));
    assert_eq!(error.to_string(), "2 of 4 shards missing: 2/4, 4/4");
    let twin = directory.path().join("twin.geojson");
    std::fs::copy(journal_path(&parts[0]), journal_path(&twin)).unwrap();
    let error = past(merge(&[parts[0].clone(), twin], &merged, Existing::Keep));
    assert!(error.to_string().ends_with("both hold shard 1/4"), "{error}");
    let journal = journal_path(&parts[1]);
    let bytes = std::fs::read(&journal).unwrap();
    std::fs::write(&journal, &bytes[..bytes.len() - 1]).unwrap();
    let error = past(merge(&parts, &merged, Existing::Keep));
    assert!(error.to_string().contains("part-2.geojson (shard 2/4): 1 of 8 tiles missing"), "{error}");
    assert!(error.hint().unwrap().contains("resumes"));
    assert!(!merged.exists() && !journal_path(&merged).exists(), "nothing is begun");
}

#[test]
fn shards_of_other_runs_are_refused_with_the_difference() {
    let (directory, mut settings) = scene();
    let mut parts = shards(directory.path(), &settings, 2);
    settings.min_valid = 0.5;
    std::fs::create_dir(directory.path().join("other")).unwrap();
    let others = shards(&directory.path().join("other"), &settings, 2);
    parts[1] = others[1].clone();
    let merged = directory.path().join("merged.geojson");
    let error = past(merge(&parts, &merged, Existing::Keep));
    assert!(error.to_string().contains("min_valid: was 0.25, now 0.5"), "{error}");
    parts[1] = directory.path().join("none.geojson");
    let error = merge(&parts, &merged, Existing::Keep).unwrap_err();
    assert!(error.to_string().contains("none.geojson"), "{error}");
    assert_eq!(error.kind(), rsmoe::ErrorKind::InvalidInput);
}

#[test]
fn a_merge_may_be_repeated_but_replaces_no_other_run_unasked() {
    let (directory, mut settings) = scene();
    let parts = shards(directory.path(), &settings, 2);
    let merged = directory.path().join("merged.geojson");
    merge(&parts, &merged, Existing::Keep).unwrap();
    let expected = std::fs::read(&merged).unwrap();
    // Killed while it copied.
    let journal = std::fs::read(journal_path(&merged)).unwrap();
    std::fs::write(journal_path(&merged), &journal[..journal.len() / 2]).unwrap();
    std::fs::remove_file(&merged).unwrap();
    merge(&parts, &merged, Existing::Keep).unwrap();
    assert!(std::fs::read(&merged).unwrap() == expected);
    settings.min_valid = 0.5;
    settings.out = directory.path().join("other.geojson");
    go(&settings, &mut Stand::default()).unwrap();
    let error = past(merge(&parts, &settings.out, Existing::Keep));
    assert!(matches!(error, PastRunError::Occupied { .. }), "{error}");
    merge(&parts, &settings.out, Existing::Replace).unwrap();
    assert!(std::fs::read(&settings.out).unwrap() == expected);
    let error = past(merge(&parts, &parts[1], Existing::Replace));
    assert!(matches!(error, PastRunError::OutputOfRun { .. }), "{error}");
}

#[test]
fn a_shard_that_is_still_written_is_not_merged() {
    let (directory, settings) = scene();
    let parts = shards(directory.path(), &settings, 2);
    let merged = directory.path().join("merged.geojson");
    let again = SceneSettings { shard: "2/2".parse().unwrap(), out: parts[1].clone(), ..settings };
    let mut inner = None;
    run(&again, &mut Stand::default(), &AtomicBool::new(false), &mut |event| {
        if matches!(event, SceneEvent::Started { .. }) {
            inner = Some(merge(&parts, &merged, Existing::Keep));
        }
    })
    .unwrap();
    assert!(matches!(inner, Some(Err(SceneError::Busy { .. }))), "{inner:?}");
}
