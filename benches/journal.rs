//! The journal of a scene: batches of records appended and synced to the disk, records read back.

#![expect(missing_docs, reason = "criterion's macro makes a public function without documentation")]

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::path::Path;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rsmoe::geo::Size;
use rsmoe::manifest::{GroundResolution, Views};
use rsmoe::scene::{
    CaptionStyle, EarlierRun, ExpertText, Journal, ModelFacts, RunFacts, ScenePlan, SceneSettings, Shard,
    TileOutcome, TileRecord, TileSide, TileText,
};
use rsmoe::vision::picture::PictureOptions;
use tempfile::TempDir;

/// Records of a batch.
const BATCH: usize = 16;
/// Side of the model's input and of a tile, pixels: small, so that the scene has many.
const SIDE: usize = 32;

/// A run over the example scene.
fn facts() -> RunFacts {
    let raster = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/itaipu_landsat8.tif");
    let settings = SceneSettings {
        raster,
        out: "out.geojson".into(),
        tile: TileSide::Auto,
        overlap_px: 0,
        area: None,
        picture: PictureOptions::default(),
        min_valid: 0.25,
        style: CaptionStyle::Full,
        questions: Vec::new(),
        unsure_below: 0.0,
        silent_below: 0.0,
        shard: Shard::WHOLE,
        batch: NonZeroUsize::MIN,
        earlier: EarlierRun::Restart,
        datetime: None,
        overview: false,
        deadline: None,
    };
    let model = ModelFacts {
        model: "bench@0".to_owned(),
        provider: "cpu".to_owned(),
        variant: "w8a8".to_owned(),
        views: Views::Single,
        trained_gsd_m: GroundResolution { min: 0.2, max: 3.0 },
    };
    let input = Size { width: SIDE, height: SIDE };
    ScenePlan::settle(&settings, input, model).expect("the example scene is part of the repository").facts
}

/// The records of the run's first batch.
fn records(facts: &RunFacts) -> Vec<TileRecord> {
    let text = |name: &str| ExpertText {
        name: name.to_owned(),
        text: "Many planes are parked next to a long building in an airport.".to_owned(),
    };
    let record = |index| TileRecord {
        index,
        window: facts.grid.window(index).expect("the scene has more tiles than a batch"),
        valid_fraction: Some(1.0),
        gsd_m: Some(29.99),
        geometry: None,
        outcome: TileOutcome::Captioned(TileText {
            caption: "The scene is an airport. Many planes are parked next to a long building.".to_owned(),
            confidence: 0.6123,
            familiarity: Some(0.98),
            experts: ["theme", "objects", "relationship"].map(text).to_vec(),
            answers: Vec::new(),
        }),
    };
    (0..BATCH).map(record).collect()
}

fn new_journal(facts: &RunFacts) -> (TempDir, Journal) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("out.geojson.journal");
    let journal = Journal::open(&path, facts.clone(), EarlierRun::Restart).expect("a new journal");
    (directory, journal)
}

fn append_and_read(criterion: &mut Criterion) {
    let facts = facts();
    let records = records(&facts);
    let mut group = criterion.benchmark_group("journal");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("append/16 tiles", |bencher| {
        bencher.iter_batched_ref(
            || new_journal(&facts),
            |(_, journal)| journal.append(black_box(&records)).expect("writable"),
            BatchSize::PerIteration,
        );
    });
    let (_directory, mut journal) = new_journal(&facts);
    journal.append(&records).expect("writable");
    group.bench_function("read/16 tiles", |bencher| {
        bencher.iter(|| {
            for index in 0..BATCH {
                black_box(journal.read(index).expect("readable"));
            }
        });
    });
    group.finish();
}

criterion_group!(journal, append_and_read);
criterion_main!(journal);
