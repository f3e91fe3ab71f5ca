//! Coarse to fine: the scene as a whole, and runs that have to end in time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rsmoe::scene::{
    Existing, RunEnd, SceneEvent, SceneSettings, StacItem, convert, journal_path, merge, recorded_summary,
    run, write_stac,
};

use super::support::Recipe;
use super::{Stand, features, go, json, scene, settings};

#[test]
fn a_run_whose_time_is_over_has_an_overview_and_goes_on_to_the_same_bytes() {
    let (directory, mut settings) = scene();
    go(&settings, &mut Stand::default()).unwrap();
    let expected = std::fs::read(&settings.out).unwrap();
    settings.out = directory.path().join("timed.geojson");
    settings.deadline = Some(Instant::now());
    let mut stand = Stand::default();
    let summary = go(&settings, &mut stand).unwrap();
    assert_eq!((summary.end, summary.counts.total(), stand.described), (RunEnd::OutOfTime, 0, 1));
    assert_eq!(summary.digest.not_reached, 35);
    let overview = summary.digest.overview.unwrap();
    assert!(overview.caption.starts_with("The mean is"), "{}", overview.caption);
    assert_eq!(json(&settings.out)["rsmoe"]["counts"]["not_reached"], 35);
    assert!(features(&settings.out).is_empty());
    settings.deadline = None;
    let summary = go(&settings, &mut Stand::default()).unwrap();
    assert_eq!((summary.end, summary.digest.not_reached), (RunEnd::Complete, 0));
    assert_eq!(std::fs::read(&settings.out).unwrap(), expected);
}

#[test]
fn where_time_is_short_the_tiles_with_the_most_contrast_come_first() {
    let directory = tempfile::tempdir().unwrap();
    // Even ground, and a patch of stripes in the tiles of the fourth row.
    let value =
        |_: usize, row: usize, col: usize| if (48..64).contains(&row) && col % 8 < 4 { 200_u8 } else { 90 };
    let raster = Recipe::new(64, 96, 1, value).write(directory.path(), "scene.tif");
    let mut settings = settings(raster, directory.path().join("out.geojson"));
    settings.deadline = Some(Instant::now() + Duration::from_hours(1));
    let cancel = AtomicBool::new(false);
    let summary = run(&settings, &mut Stand::default(), &cancel, &mut |event| {
        cancel.store(matches!(event, SceneEvent::BatchDone { .. }), Ordering::Relaxed);
    })
    .unwrap();
    assert_eq!((summary.end, summary.counts.total()), (RunEnd::Interrupted, 4));
    let part = directory.path().join("part.geojson");
    convert(&settings.out, &part, Existing::Keep).unwrap();
    let ids: Vec<String> =
        features(&part).iter().map(|feature| feature["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, ["r0003c0000", "r0003c0001", "r0003c0002", "r0003c0003"]);
}

#[test]
fn the_digest_holds_the_overview_only_where_it_is_asked_for_and_counts_what_tiles_are() {
    let (_directory, mut settings) = scene();
    let summary = go(&settings, &mut Stand::default()).unwrap();
    assert_eq!(summary.digest.overview, None);
    let known = summary.counts.captioned - summary.counts.unfamiliar;
    assert_eq!(summary.digest.themes.iter().map(|(_, tiles)| tiles).sum::<usize>(), known);
    assert_eq!(summary.digest.answers[0].line(3), "35 of 35 tiles: yes");
    settings.overview = true;
    let summary = go(&settings, &mut Stand::default()).unwrap();
    assert_eq!(summary.resumed, 35);
    let paragraph = summary.digest.paragraph();
    assert!(paragraph.starts_with("As a whole (confidence "), "{paragraph}");
    assert!(paragraph.contains("Is it dark? 35 of 35 tiles: yes."), "{paragraph}");
}

#[test]
fn a_summary_that_was_asked_for_stays_with_the_run_and_flows_to_what_is_made_of_it() {
    let (directory, mut settings) = scene();
    settings.overview = true;
    settings.datetime = Some("2026-08-01T10:20:30Z".parse().unwrap());
    let summary = go(&settings, &mut Stand::default()).unwrap();
    let paragraph = summary.digest.paragraph();
    let recorded = json(&settings.out)["rsmoe"]["summary"].clone();
    assert_eq!(recorded["text"], paragraph.as_str());
    assert!(recorded["overview"]["caption"].as_str().unwrap().starts_with("The mean is"), "{recorded}");
    assert_eq!(json(&settings.out)["rsmoe"]["answers"][0]["answers"][0]["tiles"], 35);
    // The scene and the describer are not needed any more.
    std::fs::remove_file(&settings.raster).unwrap();
    let made = |name: &str| directory.path().join(name);
    for name in ["a.geojson", "a.gpkg", "a.parquet", "a.geojsonl"] {
        convert(&settings.out, &made(name), Existing::Keep).unwrap();
    }
    assert_eq!(std::fs::read(made("a.geojson")).unwrap(), std::fs::read(&settings.out).unwrap());
    let geopackage = gdal::Dataset::open(made("a.gpkg")).unwrap();
    let mut run = geopackage
        .execute_sql(
            "SELECT value FROM run WHERE name = 'summary'",
            None,
            gdal::vector::sql::Dialect::DEFAULT,
        )
        .unwrap()
        .unwrap();
    let row = gdal::vector::LayerAccess::features(&mut *run).next().unwrap();
    assert_eq!(row.field_as_string(0).unwrap().unwrap(), paragraph);
    let parquet = std::fs::read(made("a.parquet")).unwrap();
    assert!(parquet.windows(paragraph.len()).any(|bytes| bytes == paragraph.as_bytes()));
    let item = made("a.stac.json");
    write_stac(&settings.out, &item, Existing::Keep, &StacItem::default()).unwrap();
    assert_eq!(json(&item)["properties"]["description"], paragraph.as_str());
    assert_eq!(recorded_summary(&settings.out).unwrap(), Some(paragraph));
}

#[test]
fn the_scene_is_looked_at_once_and_without_being_asked_for_a_summary_is_not_in_the_output() {
    let (_directory, mut settings) = scene();
    settings.deadline = Some(Instant::now());
    for looks in [1, 0] {
        let mut stand = Stand::default();
        let summary = go(&settings, &mut stand).unwrap();
        assert_eq!((stand.described, summary.digest.overview.is_some()), (looks, true));
    }
    assert_eq!(json(&settings.out)["rsmoe"]["summary"], serde_json::Value::Null);
    settings.deadline = None;
    settings.overview = true;
    for described in [35, 0] {
        let mut stand = Stand::default();
        go(&settings, &mut stand).unwrap();
        assert_eq!(stand.described, described);
        assert!(json(&settings.out)["rsmoe"]["summary"]["text"].as_str().unwrap().starts_with("As a whole"));
    }
    settings.overview = false;
    go(&settings, &mut Stand::default()).unwrap();
    assert!(json(&settings.out)["rsmoe"]["summary"].is_object(), "what is computed is not lost");
}

#[test]
fn a_run_with_a_summary_that_is_cut_at_any_byte_of_its_journal_ends_with_the_same_bytes() {
    let (_directory, mut settings) = scene();
    settings.overview = true;
    go(&settings, &mut Stand::default()).unwrap();
    let expected = std::fs::read(&settings.out).unwrap();
    let journal = std::fs::read(journal_path(&settings.out)).unwrap();
    let overview = journal.windows(12).position(|bytes| bytes == b"{\"overview\":").unwrap();
    let cuts =
        [overview - 9, overview - 8, overview, overview + 30, overview + 400, overview + 2000, journal.len()];
    for cut in cuts {
        std::fs::write(journal_path(&settings.out), &journal[..cut.min(journal.len())]).unwrap();
        go(&settings, &mut Stand::default()).unwrap();
        assert_eq!(std::fs::read(&settings.out).unwrap(), expected, "cut at {cut}");
    }
}

#[test]
fn shards_with_a_summary_merge_to_the_bytes_of_one_run_with_it() {
    let (directory, mut settings) = scene();
    settings.overview = true;
    go(&settings, &mut Stand::default()).unwrap();
    let part = |number: usize| {
        let out = directory.path().join(format!("part-{number}.geojson"));
        let part = SceneSettings { shard: format!("{number}/3").parse().unwrap(), out, ..settings.clone() };
        go(&part, &mut Stand::default()).unwrap();
        part.out
    };
    let merged = directory.path().join("merged.geojson");
    merge(&[part(2), part(3), part(1)], &merged, Existing::Keep).unwrap();
    assert_eq!(std::fs::read(&merged).unwrap(), std::fs::read(&settings.out).unwrap());
}
