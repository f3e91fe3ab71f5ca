//! Coarse to fine: the scene as a whole, and runs that have to end in time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rsmoe::scene::{Existing, RunEnd, SceneEvent, convert, run};

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
