//! Decoders that come and go under a memory limit.

use rsmoe::expert::{ExpertPool, MemoryLimit, PoolFiles};
use rsmoe::image::PixelImage;
use rsmoe::manifest::Variant;
use rsmoe::{CaptionRequest, Engine, EngineOptions, ErrorKind, Question, Style};

use crate::support::{chain, cpu, engine, options, package, package_path, picture, runtime};

/// What the package's graphs weigh, bytes.
struct Weights {
    fixed: u64,
    base: u64,
    objects: u64,
    theme: u64,
}

fn weights() -> Weights {
    let package = package("tiny-graph");
    let manifest = package.manifest();
    let decoder = |name| manifest.decoder_bytes(name, Variant::W8a8);
    Weights {
        fixed: manifest.graph_bytes("vision") + manifest.graph_bytes("connector"),
        base: decoder("base"),
        objects: decoder("objects"),
        theme: decoder("theme"),
    }
}

fn limited(name: &str, bytes: u64) -> rsmoe::Result<Engine> {
    runtime();
    let memory_limit = Some(MemoryLimit::of_bytes(bytes));
    Engine::load(&EngineOptions { memory_limit, ..options(&package_path(name), Variant::W8a8) })
}

/// Limits that hold the largest decoder alone, and it with one expert.
fn limits() -> [u64; 2] {
    let Weights { fixed, base, objects, theme } = weights();
    [fixed + base, fixed + base + objects.max(theme)]
}

fn pictures(engine: &Engine, count: usize) -> Vec<PixelImage> {
    (0..count).map(|seed| picture(engine, seed)).collect()
}

#[test]
fn texts_are_the_same_token_for_token_with_and_without_a_limit() {
    let questions = [Question::new("What is it?"), Question::with_choices("Is there a road?", ["yes", "no"])];
    let mut free = engine("tiny-graph", Variant::W8a8);
    // More than one pass through the graphs, and more than one group under the limit.
    let images = pictures(&free, 70);
    for style in [Style::Full, Style::Brief] {
        let request = CaptionRequest { style, ..CaptionRequest::default() };
        let describe = |engine: &mut Engine| {
            let described = engine.caption_and_ask(&images, &request, &questions).unwrap();
            let texts = described.into_iter().map(|(caption, answers)| {
                let experts: Vec<_> =
                    caption.experts.into_iter().map(|each| (each.prompt, each.text)).collect();
                (caption.text, caption.confidence, experts, answers)
            });
            texts.collect::<Vec<_>>()
        };
        let expected = describe(&mut free);
        for bytes in limits() {
            let mut engine = limited("tiny-graph", bytes).unwrap();
            assert!(describe(&mut engine) == expected, "{style:?}, {bytes} bytes");
            assert_eq!(engine.images_per_batch(), free.images_per_batch());
        }
    }
    assert_eq!(free.counters().residency.evictions, 0);
}

#[test]
fn each_decoder_is_loaded_once_for_a_batch_and_those_in_memory_are_asked_first() {
    let [one, two] = limits();
    for (bytes, first, later) in [(one, 3, 3), (two, 3, 2)] {
        let mut engine = limited("tiny-graph", bytes).unwrap();
        assert_eq!(engine.counters().residency.loads.runs, 0, "nothing is loaded before it is needed");
        let images = pictures(&engine, engine.images_per_batch());
        for expected in [first, later, later] {
            let before = engine.counters();
            engine.caption(&images, &CaptionRequest::default()).unwrap();
            let done = engine.counters() - before;
            assert_eq!(done.residency.loads.runs, expected, "{bytes} bytes");
            assert!(done.residency.loaded_bytes > 0 && done.residency.loads.time > std::time::Duration::ZERO);
            assert!(done.decoders.written_tokens > 0, "what an evicted decoder wrote is counted");
        }
        let residency = engine.counters().residency;
        let held = if bytes == one { 1 } else { 2 };
        assert_eq!(residency.loads.runs - residency.evictions, held, "{bytes} bytes");
    }
}

#[test]
fn an_expert_that_is_not_asked_is_not_loaded() {
    let mut engine = limited("tiny-graph", limits()[0]).unwrap();
    let images = pictures(&engine, 2);
    engine.caption(&images, &CaptionRequest { style: Style::Brief, ..CaptionRequest::default() }).unwrap();
    assert_eq!(engine.counters().residency.loads.runs, 1);
    let theme = Some(vec!["theme".to_owned()]);
    engine.caption(&images, &CaptionRequest { experts: theme, ..CaptionRequest::default() }).unwrap();
    assert_eq!(engine.counters().residency.loads.runs, 2);
}

#[test]
fn a_limit_that_holds_everything_changes_nothing() {
    let Weights { fixed, base, objects, theme } = weights();
    let mut engine = limited("tiny-graph", fixed + base + objects + theme).unwrap();
    let loaded = engine.counters().residency;
    assert_eq!((loaded.loads.runs, loaded.loaded_bytes), (3, base + objects + theme));
    let images = pictures(&engine, 2);
    engine.caption(&images, &CaptionRequest::default()).unwrap();
    assert_eq!(engine.counters().residency, loaded);
}

#[test]
fn a_limit_that_holds_not_even_one_decoder_is_refused_with_the_figure_that_is_needed() {
    let needed = limits()[0];
    let adapter = package("tiny-adapter");
    let manifest = adapter.manifest();
    let of_adapter = manifest.graph_bytes(manifest.vision_encoder.graph_of(Variant::W8a8))
        + manifest.graph_bytes("connector")
        + manifest.decoder_bytes("base", Variant::W8a8);
    for (name, needed) in [("tiny-graph", needed), ("tiny-adapter", of_adapter)] {
        assert!(limited(name, needed).is_ok(), "{name}");
        for bytes in [needed - 1, 0] {
            let error = limited(name, bytes).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{name}");
            let figure = MemoryLimit::of_bytes(needed).to_string();
            assert!(chain(&error).contains(&format!("needs {figure}")), "{}", chain(&error));
            assert!(error.hint().is_some_and(|hint| hint.contains(&figure)), "{name}");
        }
    }
}

#[test]
fn only_the_decoder_at_work_keeps_the_memory_of_finished_batches() {
    let files = PoolFiles {
        package: package("tiny-graph"),
        variant: Variant::W8a8,
        policy: cpu(),
        runtime: runtime(),
    };
    let mut pool = ExpertPool::load(files, None).unwrap();
    let kept: Vec<usize> = ["theme", "objects", "theme"]
        .map(|name| {
            let decoder = pool.decoder(name).unwrap();
            let batch = decoder.batch(4).unwrap();
            decoder.recycle(batch);
            pool.idle_bytes()
        })
        .to_vec();
    assert!(kept[0] > 0 && kept.iter().all(|&bytes| bytes == kept[0]), "{kept:?}");
}
