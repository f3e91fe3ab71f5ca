//! The switches of the ablations: some of the experts, fixed prompts instead of the router's.

use rsmoe::engine::{CaptionRequest, PromptSource, RouterChoice};
use rsmoe::manifest::{RouterSpec, Variant};
use rsmoe::{Caption, Engine, ErrorKind};

use crate::support::{PACKAGES, changed, engine, options, picture, runtime};

/// A mean of f32.
const MEAN_TOLERANCE: f32 = 1e-6;

fn caption(engine: &mut Engine, router: Option<RouterChoice>, experts: Option<&[&str]>) -> Caption {
    let picture = picture(engine, 1);
    let experts = experts.map(|names| names.iter().map(|&name| name.to_owned()).collect());
    let request = CaptionRequest { router, experts, ..CaptionRequest::default() };
    engine.caption(&[picture], &request).unwrap().remove(0)
}

#[test]
fn chosen_experts_write_what_they_write_among_all_and_are_merged_in_the_manifests_order() {
    for name in PACKAGES {
        let mut engine = engine(name, Variant::W8a8);
        let all = caption(&mut engine, None, None);
        for expected in &all.experts {
            let one = caption(&mut engine, None, Some(&[&expected.name]));
            let found = &one.experts[0];
            assert_eq!(one.experts.len(), 1);
            assert_eq!((&found.name, &found.prompt), (&expected.name, &expected.prompt), "{name}");
            assert_eq!(found.text, expected.text, "{name}");
            assert!((one.confidence - found.confidence).abs() < MEAN_TOLERANCE, "the mean of one");
        }
        let mut names: Vec<&str> = all.experts.iter().map(|expert| expert.name.as_str()).collect();
        names.reverse();
        assert_eq!(caption(&mut engine, None, Some(&names)).text, all.text, "{name}");
    }
}

#[test]
fn a_fixed_router_gives_every_expert_its_prompt_of_the_manifest() {
    for name in PACKAGES {
        let mut engine = engine(name, Variant::Fp32);
        let fixed = caption(&mut engine, Some(RouterChoice::Fixed), None);
        for (found, spec) in fixed.experts.iter().zip(&engine.manifest().experts.list) {
            assert_eq!((&found.prompt, found.prompt_source), (&spec.prompt, PromptSource::Fixed), "{name}");
        }
        let own = caption(&mut engine, None, None);
        assert_eq!(own.text, caption(&mut engine, Some(RouterChoice::Generative), None).text, "{name}");
        assert!(own.experts.iter().any(|expert| expert.prompt_source == PromptSource::Generated), "{name}");
        // The package with a fixed router writes the same.
        let package = changed(name, |manifest| manifest.router = RouterSpec::Fixed);
        let mut other = Engine::load(&options(package.path(), Variant::Fp32)).unwrap();
        assert_eq!(caption(&mut other, None, None).text, fixed.text, "{name}");
    }
}

#[test]
fn what_the_package_does_not_have_is_refused_as_a_wrong_request() {
    runtime();
    let package = changed("tiny-adapter", |manifest| manifest.router = RouterSpec::Fixed);
    let mut engine = Engine::load(&options(package.path(), Variant::Fp32)).unwrap();
    let requests = [
        CaptionRequest { router: Some(RouterChoice::Generative), ..CaptionRequest::default() },
        CaptionRequest { experts: Some(vec!["weather".to_owned()]), ..CaptionRequest::default() },
    ];
    for request in requests {
        let picture = picture(&engine, 1);
        let error = engine.caption(&[picture], &request).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        assert!(error.hint().is_some());
    }
}
