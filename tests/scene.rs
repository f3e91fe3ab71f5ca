//! Scenes end to end, with a stand-in for the engine whose texts depend on the pixels alone.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

#[path = "scene/areas.rs"]
mod areas;
#[path = "scene/coarse.rs"]
mod coarse;
#[path = "scene/formats.rs"]
mod formats;
#[path = "scene/shards.rs"]
mod shards;
mod support;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rsmoe::geo::Size;
use rsmoe::image::PixelImage;
use rsmoe::manifest::{GroundResolution, Views};
use rsmoe::scene::{
    CaptionStyle, DescribeError, EarlierRun, ExpertText, ModelFacts, RunEnd, SceneError, SceneEvent,
    SceneSettings, SceneSummary, Shard, TileAnswer, TileDescriber, TileSide, TileText, journal_path, run,
};
use rsmoe::vision::picture::PictureOptions;
use serde_json::Value;
use support::Recipe;
use tempfile::TempDir;

/// Describes a picture by its mean; counts its calls; refuses pictures of the mean it is told.
struct Stand {
    described: usize,
    tells_familiarity: bool,
    refuses: Option<u64>,
    refuses_all: bool,
    model: Option<&'static str>,
}

impl Default for Stand {
    fn default() -> Self {
        Self { described: 0, tells_familiarity: true, refuses: None, refuses_all: false, model: None }
    }
}

impl TileDescriber for Stand {
    fn input_size(&self) -> Size {
        Size { width: 16, height: 16 }
    }

    fn model_facts(&self) -> ModelFacts {
        ModelFacts {
            model: self.model.unwrap_or("stand@000000000000").to_owned(),
            provider: "cpu".to_owned(),
            variant: "fp32".to_owned(),
            views: Views::Single,
            trained_gsd_m: GroundResolution { min: 0.2, max: 3.0 },
        }
    }

    fn describe(&mut self, images: &[PixelImage]) -> Result<Vec<TileText>, DescribeError> {
        let mean = |image: &PixelImage| {
            image.pixels().iter().map(|&value| u64::from(value)).sum::<u64>() / image.pixels().len() as u64
        };
        if self.refuses_all || images.iter().any(|image| Some(mean(image)) == self.refuses) {
            return Err("this picture is refused".into());
        }
        self.described += images.len();
        let text = |image: &PixelImage| TileText {
            caption: format!("The mean is {}, \"quoted\".", mean(image)),
            confidence: 1.0 / (3.0 + mean(image) as f64),
            familiarity: self.tells_familiarity.then_some(mean(image) as f64 / 255.0),
            experts: ["theme", "objects", "relationship"]
                .map(|name| ExpertText { name: name.to_owned(), text: format!("{name} {}", mean(image)) })
                .to_vec(),
            answers: vec![TileAnswer {
                question: "Is it dark?".to_owned(),
                answer: "yes".to_owned(),
                said: None,
                confidence: 0.5,
            }],
        };
        Ok(images.iter().map(text).collect())
    }
}

fn ramp(_: usize, row: usize, col: usize) -> u16 {
    (1 + row * 40 + col * 3) as u16
}

fn settings(raster: PathBuf, out: PathBuf) -> SceneSettings {
    SceneSettings {
        raster,
        out,
        tile: TileSide::Auto,
        overlap_px: 0,
        area: None,
        picture: PictureOptions::default(),
        min_valid: 0.25,
        style: CaptionStyle::Full,
        questions: vec!["Is it dark?".to_owned()],
        unsure_below: 0.0,
        silent_below: 0.0,
        shard: Shard::WHOLE,
        batch: NonZeroUsize::new(4).unwrap(),
        earlier: EarlierRun::Resume,
        datetime: None,
        overview: false,
        deadline: None,
    }
}

/// A directory with a scene of 100 x 70 pixels: 7 x 5 tiles.
fn scene() -> (TempDir, SceneSettings) {
    let directory = tempfile::tempdir().unwrap();
    let raster = Recipe::new(100, 70, 1, ramp).write(directory.path(), "scene.tif");
    let settings = settings(raster, directory.path().join("out.geojson"));
    (directory, settings)
}

fn go(settings: &SceneSettings, stand: &mut Stand) -> Result<SceneSummary, SceneError> {
    run(settings, stand, &AtomicBool::new(false), &mut |_| {})
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn features(path: &Path) -> Vec<Value> {
    json(path)["features"].as_array().unwrap().clone()
}

#[test]
fn every_tile_becomes_a_feature_with_the_fields_of_the_contract() {
    let (_directory, settings) = scene();
    let summary = go(&settings, &mut Stand::default()).unwrap();
    assert_eq!((summary.counts.captioned, summary.end), (35, RunEnd::Complete));
    let collection = json(&settings.out);
    assert_eq!(collection["type"], "FeatureCollection");
    assert_eq!(collection["rsmoe"]["model"], "stand@000000000000");
    assert_eq!(collection["rsmoe"]["counts"]["captioned"], 35);
    let features = features(&settings.out);
    assert_eq!(features.len(), 35);
    let last = &features[34];
    assert_eq!(last["geometry"]["type"], "Polygon");
    let properties = &last["properties"];
    assert_eq!(properties["id"], "r0004c0006");
    assert_eq!(properties["window"], serde_json::json!({"col": 84, "row": 54, "width": 16, "height": 16}));
    assert!(properties["caption"].as_str().unwrap().starts_with("The mean is"));
    for name in ["theme", "objects", "relationship"] {
        assert!(properties[name].as_str().unwrap().starts_with(name));
    }
    assert_eq!(properties["valid_fraction"], 1.0);
    assert!((properties["gsd_m"].as_f64().unwrap() - 10.004).abs() < 0.01);
    assert_eq!(properties["answers"][0]["answer"], "yes");
    assert!(properties["confidence"].as_f64().unwrap() > 0.0);
    assert!(properties["familiarity"].as_f64().unwrap() > 0.5);
}

#[test]
fn tiles_that_look_like_nothing_known_are_counted_also_after_a_resume() {
    let (_directory, settings) = scene();
    let summary = go(&settings, &mut Stand::default()).unwrap();
    let shares: Vec<f64> = features(&settings.out)
        .iter()
        .map(|feature| feature["properties"]["familiarity"].as_f64().unwrap())
        .collect();
    let expected = shares.iter().filter(|&&share| share < 0.5).count();
    assert!(expected > 5 && expected < 30, "{shares:?}");
    assert_eq!((summary.counts.unfamiliar, summary.counts.total()), (expected, 35));
    assert_eq!(json(&settings.out)["rsmoe"]["counts"]["unfamiliar"], expected);
    assert_eq!(go(&settings, &mut Stand::default()).unwrap().counts, summary.counts);
}

/// The journal as an earlier version of the program wrote it: without the named fields, wherever they stand.
fn without(journal: &[u8], names: &[&str]) -> Vec<u8> {
    fn strip(value: &mut Value, names: &[&str]) {
        match value {
            Value::Object(map) => {
                map.retain(|name, _| !names.contains(&name.as_str()));
                map.values_mut().for_each(|value| strip(value, names));
            }
            Value::Array(list) => list.iter_mut().for_each(|value| strip(value, names)),
            _ => {}
        }
    }
    let magic = journal.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let (mut older, mut rest) = (journal[..magic].to_vec(), &journal[magic..]);
    while let Some((head, more)) = rest.split_first_chunk::<4>() {
        let (payload, more) = more[4..].split_at(u32::from_le_bytes(*head) as usize);
        let mut value: Value = serde_json::from_slice(payload).unwrap();
        strip(&mut value, names);
        let payload = serde_json::to_vec(&value).unwrap();
        older.extend((payload.len() as u32).to_le_bytes());
        older.extend(crc32fast::hash(&payload).to_le_bytes());
        older.extend(payload);
        rest = more;
    }
    older
}

#[test]
fn a_journal_from_before_familiarity_and_thresholds_resumes_or_is_refused_with_the_reason() {
    let (_directory, mut settings) = scene();
    go(&settings, &mut Stand { tells_familiarity: false, ..Stand::default() }).unwrap();
    let expected = std::fs::read(&settings.out).unwrap();
    let journal = journal_path(&settings.out);
    let older = without(
        &std::fs::read(&journal).unwrap(),
        &["familiarity", "said", "unsure_below", "silent_below", "datetime"],
    );
    // A run of that version, killed after two thirds.
    std::fs::write(&journal, &older[..older.len() * 2 / 3]).unwrap();
    let summary = go(&settings, &mut Stand { tells_familiarity: false, ..Stand::default() }).unwrap();
    assert!(summary.resumed > 8 && summary.resumed < 35, "{summary:?}");
    assert_eq!(std::fs::read(&settings.out).unwrap(), expected);
    std::fs::write(&journal, &older).unwrap();
    settings.unsure_below = 0.4;
    let error = go(&settings, &mut Stand::default()).unwrap_err();
    assert!(error.to_string().contains("unsure_below: was 0.0, now 0.4"), "{error}");
}

#[test]
fn one_stretch_serves_the_whole_scene() {
    let (_directory, settings) = scene();
    go(&settings, &mut Stand::default()).unwrap();
    let means: Vec<u64> = features(&settings.out)
        .iter()
        .map(|feature| {
            let caption = feature["properties"]["caption"].as_str().unwrap();
            caption.split([' ', ',']).find_map(|word| word.parse().ok()).unwrap()
        })
        .collect();
    assert!(means[0] < 30 && means[34] > 225, "a stretch per tile would level them: {means:?}");
}

#[test]
fn a_run_that_is_cut_at_any_byte_of_its_journal_ends_with_the_same_bytes() {
    let (_directory, settings) = scene();
    go(&settings, &mut Stand::default()).unwrap();
    let expected = std::fs::read(&settings.out).unwrap();
    let journal = std::fs::read(journal_path(&settings.out)).unwrap();
    let step = journal.len() / 11;
    for cut in (0..=11).map(|part| part * step).chain([1, 15, 16, 17, 24, journal.len() - 1]) {
        std::fs::write(journal_path(&settings.out), &journal[..cut]).unwrap();
        std::fs::remove_file(&settings.out).unwrap();
        let mut stand = Stand::default();
        let summary = go(&settings, &mut stand).unwrap();
        assert_eq!(std::fs::read(&settings.out).unwrap(), expected, "cut at {cut}");
        assert!(stand.described >= 35 - summary.resumed, "cut at {cut}");
        assert!(cut < journal.len() * 3 / 4 || summary.resumed > 20, "cut at {cut}: {summary:?}");
    }
}

#[test]
fn damage_in_the_journal_costs_what_follows_it_and_no_more() {
    let (_directory, settings) = scene();
    go(&settings, &mut Stand::default()).unwrap();
    let expected = std::fs::read(&settings.out).unwrap();
    let mut journal = std::fs::read(journal_path(&settings.out)).unwrap();
    let middle = journal.len() / 2;
    journal[middle] ^= 0x10;
    std::fs::write(journal_path(&settings.out), &journal).unwrap();
    let summary = go(&settings, &mut Stand::default()).unwrap();
    assert!(summary.resumed > 8 && summary.resumed < 25, "{summary:?}");
    assert_eq!(std::fs::read(&settings.out).unwrap(), expected);
}

#[test]
fn an_interrupted_run_says_so_and_resumes() {
    let (_directory, settings) = scene();
    let cancel = AtomicBool::new(false);
    let mut batches = 0;
    let summary = run(&settings, &mut Stand::default(), &cancel, &mut |event| {
        if let SceneEvent::BatchDone { .. } = event {
            batches += 1;
            cancel.store(batches == 3, Ordering::Relaxed);
        }
    })
    .unwrap();
    assert_eq!((summary.end, summary.counts.total()), (RunEnd::Interrupted, 12));
    assert!(!settings.out.exists(), "no output before the end");
    let mut stand = Stand::default();
    let mut seen = None;
    run(&settings, &mut stand, &AtomicBool::new(false), &mut |event| {
        if let SceneEvent::Started { resumed, total, .. } = event {
            seen = Some((resumed, total));
        }
    })
    .unwrap();
    assert_eq!((seen, stand.described), (Some((12, 35)), 23));
}

#[test]
fn a_finished_run_is_not_done_again() {
    let (_directory, settings) = scene();
    go(&settings, &mut Stand::default()).unwrap();
    let mut stand = Stand::default();
    assert_eq!(go(&settings, &mut stand).unwrap().resumed, 35);
    assert_eq!(stand.described, 0);
}

#[test]
fn other_settings_on_the_same_output_are_refused_with_the_difference() {
    let (_directory, mut settings) = scene();
    go(&settings, &mut Stand::default()).unwrap();
    settings.overlap_px = 4;
    settings.min_valid = 0.5;
    let error = go(&settings, &mut Stand::default()).unwrap_err();
    let SceneError::OtherSettings { differences, .. } = &error else { panic!("{error}") };
    assert!(
        differences.iter().any(|difference| difference == "min_valid: was 0.25, now 0.5"),
        "{differences:?}"
    );
    assert!(differences.iter().any(|difference| difference.starts_with("grid:")));
    assert!(error.hint().unwrap().contains("--restart"));
    settings.earlier = EarlierRun::Restart;
    assert_eq!(go(&settings, &mut Stand::default()).unwrap().resumed, 0);
    settings.earlier = EarlierRun::Resume;
    let error = go(&settings, &mut Stand { model: Some("other@1"), ..Stand::default() }).unwrap_err();
    assert!(error.to_string().contains("model: was stand@000000000000, now other@1"), "{error}");
}

#[test]
fn another_scene_under_the_same_name_is_noticed() {
    let (directory, settings) = scene();
    go(&settings, &mut Stand::default()).unwrap();
    Recipe::new(100, 70, 1, |_, row, col| (row + col) as u16).write(directory.path(), "scene.tif");
    assert!(matches!(go(&settings, &mut Stand::default()), Err(SceneError::OtherSettings { .. })));
}

#[test]
fn nodata_tiles_are_skipped_with_the_reason_and_border_tiles_are_not_black() {
    let directory = tempfile::tempdir().unwrap();
    let mut recipe = Recipe::new(64, 32, 1, |_, _, col| if col < 24 { 0_u8 } else { 200 });
    recipe.nodata = Some(0.0);
    let settings =
        settings(recipe.write(directory.path(), "scene.tif"), directory.path().join("out.geojson"));
    let summary = go(&settings, &mut Stand::default()).unwrap();
    assert_eq!((summary.counts.captioned, summary.counts.skipped), (6, 2));
    let features = features(&settings.out);
    assert_eq!(features[0]["properties"]["status"], "skipped");
    assert_eq!(features[0]["properties"]["reason"], "no valid pixel");
    assert_eq!(features[0]["properties"]["caption"], Value::Null);
    assert_eq!(features[1]["properties"]["valid_fraction"], 0.5);
    assert!(features[1]["properties"]["caption"].as_str().unwrap().contains("200"), "filled with the mean");
}

#[test]
fn tiles_below_the_least_valid_fraction_are_skipped() {
    let directory = tempfile::tempdir().unwrap();
    let mut recipe = Recipe::new(64, 32, 1, |_, _, col| if col < 24 { 0_u8 } else { 200 });
    recipe.nodata = Some(0.0);
    let mut settings =
        settings(recipe.write(directory.path(), "scene.tif"), directory.path().join("out.geojson"));
    settings.min_valid = 0.6;
    assert_eq!(go(&settings, &mut Stand::default()).unwrap().counts.skipped, 4);
    assert_eq!(features(&settings.out)[1]["properties"]["reason"], "valid fraction 0.5000 is below 0.6");
}

#[test]
fn a_scene_of_nodata_alone_ends_well_without_captions() {
    let directory = tempfile::tempdir().unwrap();
    let mut recipe = Recipe::new(40, 30, 3, |_, _, _| f32::NAN);
    recipe.nodata = Some(f64::NAN);
    let settings =
        settings(recipe.write(directory.path(), "scene.tif"), directory.path().join("out.geojson"));
    let summary = go(&settings, &mut Stand::default()).unwrap();
    assert_eq!((summary.counts.captioned, summary.counts.skipped, summary.end), (0, 6, RunEnd::Complete));
}

#[test]
fn without_a_crs_features_have_windows_but_no_geometry() {
    let directory = tempfile::tempdir().unwrap();
    let mut recipe = Recipe::new(40, 30, 1, ramp);
    recipe.epsg = None;
    let settings =
        settings(recipe.write(directory.path(), "scene.tif"), directory.path().join("out.geojson"));
    let mut missing = None;
    run(&settings, &mut Stand::default(), &AtomicBool::new(false), &mut |event| {
        if let SceneEvent::Started { plan, .. } = event {
            missing = plan.missing_place.clone();
        }
    })
    .unwrap();
    assert!(missing.unwrap().contains("no coordinate reference system"));
    let feature = &features(&settings.out)[1];
    assert_eq!((&feature["geometry"], &feature["properties"]["gsd_m"]), (&Value::Null, &Value::Null));
    assert_eq!(feature["properties"]["window"]["col"], 16);
}

#[test]
fn a_truncated_scene_fails_in_the_tiles_that_are_gone_and_nowhere_else() {
    let directory = tempfile::tempdir().unwrap();
    let mut recipe = Recipe::new(128, 64, 1, |_, row, col| ((row * 7919 + col * 104_729) % 251) as u8);
    recipe.options = &["TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=16", "COMPRESS=DEFLATE"];
    let raster = recipe.write(directory.path(), "scene.tif");
    let bytes = std::fs::read(&raster).unwrap();
    std::fs::write(&raster, &bytes[..bytes.len() / 2]).unwrap();
    let settings = settings(raster, directory.path().join("out.geojson"));
    let summary = go(&settings, &mut Stand::default()).unwrap();
    assert!(summary.counts.captioned > 8 && summary.counts.failed > 8, "{summary:?}");
    let features = features(&settings.out);
    assert_eq!(features[0]["properties"]["status"], "captioned");
    assert_eq!(features[31]["properties"]["status"], "failed");
    assert!(features[31]["properties"]["reason"].as_str().unwrap().starts_with("cannot be read: "));
}

#[test]
fn shards_share_the_scene_out_and_none_overlap() {
    let (directory, mut settings) = scene();
    go(&settings, &mut Stand::default()).unwrap();
    let whole: Vec<String> = features(&settings.out).iter().map(Value::to_string).collect();
    let mut parts = Vec::new();
    for shard in ["1/3", "2/3", "3/3"] {
        settings.shard = shard.parse().unwrap();
        settings.out = directory.path().join(format!("part-{}.geojson", &shard[..1]));
        go(&settings, &mut Stand::default()).unwrap();
        parts.extend(features(&settings.out).iter().map(Value::to_string));
    }
    parts.sort();
    let mut expected = whole;
    expected.sort();
    assert_eq!(parts, expected);
}

#[test]
fn one_tile_that_cannot_be_described_does_not_take_its_batch_along() {
    let (_directory, settings) = scene();
    go(&settings, &mut Stand::default()).unwrap();
    let mean = features(&settings.out)[9]["properties"]["theme"].as_str().unwrap()["theme ".len()..]
        .parse()
        .unwrap();
    let restart = SceneSettings { earlier: EarlierRun::Restart, ..settings.clone() };
    let summary = go(&restart, &mut Stand { refuses: Some(mean), ..Stand::default() }).unwrap();
    assert!(summary.counts.failed >= 1 && summary.counts.failed < 4, "{summary:?}");
    assert_eq!(features(&settings.out)[9]["properties"]["status"], "failed");
}

#[test]
fn an_engine_that_describes_nothing_ends_the_run_and_the_next_one_goes_on() {
    let (_directory, settings) = scene();
    let error = go(&settings, &mut Stand { refuses_all: true, ..Stand::default() }).unwrap_err();
    assert!(matches!(error, SceneError::Describe { batch: 0, .. }));
    assert_eq!(go(&settings, &mut Stand::default()).unwrap().counts.captioned, 35);
}

#[test]
fn lines_and_tables_hold_the_same_tiles() {
    let (directory, mut settings) = scene();
    go(&settings, &mut Stand::default()).unwrap();
    let expected = features(&settings.out);
    settings.out = directory.path().join("out.geojsonl");
    go(&settings, &mut Stand::default()).unwrap();
    let text = std::fs::read_to_string(&settings.out).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, expected);
    settings.out = directory.path().join("out.csv");
    go(&settings, &mut Stand::default()).unwrap();
    let text = std::fs::read_to_string(&settings.out).unwrap();
    assert_eq!(text.lines().count(), 36);
    assert!(
        text.starts_with(
            "id,status,reason,caption,confidence,theme,objects,relationship,col,row,width,height,"
        )
    );
    assert!(text.lines().next().unwrap().ends_with(",geometry,Is it dark?"));
    assert!(text.contains("\"The mean is") && text.contains("\"POLYGON (("));
}

#[test]
fn outputs_that_cannot_be_written_are_refused_before_any_work() {
    let (directory, mut settings) = scene();
    let mut stand = Stand::default();
    for (out, kind) in
        [("none/out.geojson", "unwritable"), ("out.shp", "format"), ("folder.csv", "unwritable")]
    {
        std::fs::create_dir_all(directory.path().join("folder.csv")).unwrap();
        settings.out = directory.path().join(out);
        let error = go(&settings, &mut stand).unwrap_err();
        match kind {
            "unwritable" => assert!(matches!(error, SceneError::Unwritable { .. }), "{out}: {error}"),
            _ => assert!(matches!(error, SceneError::OutputFormat { .. }), "{out}: {error}"),
        }
    }
    settings.out = directory.path().join("notes.csv");
    std::fs::write(&settings.out, "my own notes").unwrap();
    assert!(matches!(go(&settings, &mut stand), Err(SceneError::OutputExists { .. })));
    assert_eq!(std::fs::read_to_string(&settings.out).unwrap(), "my own notes");
    std::fs::write(journal_path(&settings.out), "not a journal at all").unwrap();
    assert!(matches!(go(&settings, &mut stand), Err(SceneError::NotAJournal { .. })));
    assert_eq!(stand.described, 0);
}

#[test]
fn two_runs_on_one_output_do_not_mix() {
    let (_directory, settings) = scene();
    let mut inner = None;
    run(&settings, &mut Stand::default(), &AtomicBool::new(false), &mut |event| {
        if matches!(event, SceneEvent::Started { .. }) {
            inner = Some(go(&settings, &mut Stand::default()));
        }
    })
    .unwrap();
    assert!(matches!(inner, Some(Err(SceneError::Busy { .. }))));
}

#[test]
fn a_raster_that_is_none_is_an_error_and_leaves_nothing_behind() {
    let (directory, mut settings) = scene();
    settings.raster = directory.path().join("notes.tif");
    std::fs::write(&settings.raster, "notes").unwrap();
    assert!(matches!(go(&settings, &mut Stand::default()), Err(SceneError::Raster { .. })));
    assert!(!settings.out.exists() && !journal_path(&settings.out).exists());
}

#[test]
fn a_scene_smaller_than_a_tile_is_one_tile() {
    let directory = tempfile::tempdir().unwrap();
    let raster = Recipe::new(1, 1, 1, |_, _, _| 5_u16).write(directory.path(), "scene.tif");
    let settings = settings(raster, directory.path().join("out.geojson"));
    assert_eq!(go(&settings, &mut Stand::default()).unwrap().counts.captioned, 1);
}
