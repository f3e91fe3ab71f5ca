//! Which provider runs, and what happens if it does not start.

use rsmoe::manifest::Variant;
use rsmoe::runtime::{ExecutionProvider, ProviderPolicy};
use rsmoe::{CaptionRequest, Engine, EngineOptions, ErrorKind};

use crate::support::{chain, engine, options, package_path, picture, runtime};

#[test]
fn a_provider_that_the_library_lacks_is_an_error_if_it_was_asked_for() {
    let built_in = runtime().providers();
    for provider in [ExecutionProvider::Cuda, ExecutionProvider::TensorRt] {
        if built_in.contains(&provider) {
            continue;
        }
        let asked = EngineOptions {
            provider: ProviderPolicy::Require(provider),
            ..options(&package_path("tiny-adapter"), Variant::W8a8)
        };
        let error = Engine::load(&asked).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ProviderUnavailable);
        assert_eq!(error.kind().exit_code(), 69);
        assert!(
            chain(&error).contains(&format!("execution provider {provider} is not part of")),
            "{}",
            chain(&error)
        );
        assert!(error.hint().is_some_and(|hint| hint.contains("onnxruntime-gpu")));
    }
}

#[test]
fn the_provider_that_really_runs_is_reported() {
    let mut loaded = Engine::load(&EngineOptions::new(package_path("tiny-adapter"))).unwrap();
    if !runtime().providers().contains(&ExecutionProvider::Cuda) {
        assert_eq!(loaded.provider(), "cpu");
        assert_eq!(loaded.variant(), loaded.manifest().variants.default);
    }
    assert!(loaded.model_id().starts_with("tiny-adapter@"));
    assert_eq!(loaded.model_id().len(), "tiny-adapter@".len() + 12);
    let picture = picture(&loaded, 0);
    let timings = loaded.caption(&[picture], &CaptionRequest::default()).unwrap()[0].timings;
    assert_eq!(timings.images, 1);
    assert!(timings.total() > timings.decode);
}

#[test]
fn an_engine_can_move_to_another_thread() {
    let mut moved = engine("tiny-adapter", Variant::W8a8);
    let text = std::thread::spawn(move || {
        let picture = picture(&moved, 0);
        moved.caption(&[picture], &CaptionRequest::default()).unwrap().remove(0).text
    });
    assert!(!text.join().unwrap().is_empty());
}
