//! Confidences: calibration, familiarity, and answers that are not sure.

use rsmoe::engine::{CaptionRequest, ExpertText, ImageQuestion, NOT_SURE, Question, Style};
use rsmoe::image::PixelImage;
use rsmoe::manifest::{ConfidenceSpec, Manifest, Temperatures, Variant};
use rsmoe::merge::merge_captions;
use rsmoe::{Answer, Caption, Engine};

use crate::support::{changed, engine, options, picture, runtime};

/// The same scores through the rules twice, in f32 at either end; a root of them is taken in between.
const TOLERANCE: f32 = 1e-4;

const TEMPERATURE: Temperatures = Temperatures { choice: 2.0, text: 0.5 };

/// An engine of the adapter package, whose manifest is changed before it is loaded.
fn engine_with(change: impl FnOnce(&mut Manifest)) -> Engine {
    runtime();
    let package = changed("tiny-adapter", change);
    Engine::load(&options(package.path(), Variant::Fp32)).unwrap()
}

fn plain() -> Engine {
    engine_with(|manifest| {
        manifest.confidence = None;
        manifest.vision_encoder.familiarity = None;
    })
}

fn calibrated(unsure_below: f64) -> Engine {
    engine_with(|manifest| {
        manifest.confidence =
            Some(ConfidenceSpec { temperature: TEMPERATURE, unsure_below, silent_below: 0.0 });
        assert!(manifest.vision_encoder.familiarity.is_some(), "the package tells familiarity");
    })
}

fn pictures(engine: &Engine) -> Vec<PixelImage> {
    (0..4).map(|seed| picture(engine, seed)).collect()
}

fn assert_close(found: f32, expected: f32, what: &str) {
    assert!((found - expected).abs() <= TOLERANCE, "{what}: expected {expected}, found {found}");
}

/// Of a text, from its mean token probability.
fn rule_of_text(plain: f32, familiarity: f32) -> f32 {
    familiarity * plain.powf(1.0 / TEMPERATURE.text as f32)
}

fn captions(engine: &mut Engine, style: Style) -> Vec<Caption> {
    let request = CaptionRequest { style, ..CaptionRequest::default() };
    engine.caption(&pictures(engine), &request).unwrap()
}

#[test]
fn texts_are_those_of_an_uncalibrated_package_with_confidences_by_the_rule() {
    let (mut plain, mut calibrated) = (plain(), calibrated(0.0));
    for style in [Style::Full, Style::Brief] {
        for (before, after) in captions(&mut plain, style).iter().zip(captions(&mut calibrated, style)) {
            assert_eq!((&before.text, before.familiarity), (&after.text, None));
            let familiarity = after.familiarity.unwrap();
            assert!((0.0..=1.0).contains(&familiarity));
            if style == Style::Brief {
                assert_close(after.confidence, rule_of_text(before.confidence, familiarity), &after.text);
                continue;
            }
            for (before, after) in before.experts.iter().zip(&after.experts) {
                assert_close(after.confidence, rule_of_text(before.confidence, familiarity), &after.text);
            }
            let sum: f32 = after.experts.iter().map(|expert| expert.confidence).sum();
            assert_close(after.confidence, sum / 3.0, "the mean over the experts");
        }
    }
}

fn ask(engine: &mut Engine, question: &Question) -> Vec<Answer> {
    let pictures = pictures(engine);
    let questions: Vec<ImageQuestion> =
        (0..pictures.len()).map(|image| ImageQuestion { image, question: question.clone() }).collect();
    engine.ask(&pictures, &questions).unwrap()
}

#[test]
fn choices_keep_their_ranking_and_are_mixed_with_the_uniform_distribution() {
    let question = Question::with_choices("Is there a road?", ["yes", "no", "a road"]);
    let plain = ask(&mut plain(), &question);
    for (before, after) in plain.iter().zip(ask(&mut calibrated(0.0), &question)) {
        assert_eq!(before.text, after.text);
        let familiarity = after.familiarity.unwrap();
        let before = before.choices.as_ref().unwrap();
        let scaled: Vec<f32> =
            before.iter().map(|(_, probability)| probability.powf(1.0 / TEMPERATURE.choice as f32)).collect();
        let sum: f32 = scaled.iter().sum();
        for (scaled, (choice, found)) in scaled.iter().zip(after.choices.as_ref().unwrap()) {
            let expected = familiarity * scaled / sum + (1.0 - familiarity) / before.len() as f32;
            assert_close(*found, expected, choice);
        }
    }
}

#[test]
fn free_answers_are_texts() {
    let question = Question::new("What is it?");
    let plain = ask(&mut plain(), &question);
    for (before, after) in plain.iter().zip(ask(&mut calibrated(0.0), &question)) {
        assert_eq!(before.text, after.text);
        let expected = rule_of_text(before.confidence, after.familiarity.unwrap());
        assert_close(after.confidence, expected, &after.text);
    }
}

#[test]
fn familiarity_is_of_the_picture_and_not_of_its_batch() {
    let mut engine = calibrated(0.0);
    let together = captions(&mut engine, Style::Brief);
    let first = together[0].familiarity.unwrap();
    assert!(together.iter().any(|caption| (caption.familiarity.unwrap() - first).abs() > TOLERANCE));
    for (picture, caption) in pictures(&engine).into_iter().zip(together) {
        let alone = engine.caption(&[picture], &CaptionRequest::default()).unwrap().remove(0);
        assert_close(alone.familiarity.unwrap(), caption.familiarity.unwrap(), "alone and together");
    }
}

#[test]
fn below_the_packages_threshold_the_answer_is_not_sure_unless_the_question_has_its_own() {
    let (mut sure, mut unsure) = (calibrated(0.0), calibrated(0.9999));
    for question in [Question::new("What is it?"), Question::with_choices("Is it?", ["yes", "no"])] {
        let given = ask(&mut sure, &question);
        for (given, withheld) in given.iter().zip(ask(&mut unsure, &question)) {
            assert_eq!((withheld.text.as_str(), withheld.said.as_ref()), (NOT_SURE, Some(&given.text)));
            assert_eq!((withheld.confidence, &withheld.choices), (given.confidence, &given.choices));
        }
        let always = Question { unsure_below: Some(0.0), ..question };
        assert_eq!(ask(&mut unsure, &always), given);
    }
}

#[test]
fn below_the_packages_threshold_experts_are_silent_unless_the_request_has_its_own() {
    let mut all = calibrated(0.0);
    let mut surest_alone = engine_with(|manifest| {
        manifest.confidence =
            Some(ConfidenceSpec { temperature: TEMPERATURE, unsure_below: 0.0, silent_below: 0.9999 });
    });
    let (before, after) = (captions(&mut all, Style::Full), captions(&mut surest_alone, Style::Full));
    for (before, after) in before.iter().zip(&after) {
        let heard: Vec<&ExpertText> = after.experts.iter().filter(|expert| expert.in_caption).collect();
        assert_eq!(heard.len(), 1, "{after:?}");
        assert_eq!(after.text, merge_captions([heard[0].text.as_str()]));
        let texts = |caption: &Caption| {
            caption.experts.iter().map(|each| (each.text.clone(), each.confidence)).collect::<Vec<_>>()
        };
        assert_eq!(texts(before), texts(after), "what is left out is still told");
        assert_eq!(before.confidence.to_bits(), after.confidence.to_bits());
    }
    let request = CaptionRequest { silent_below: Some(0.0), ..CaptionRequest::default() };
    let asked: Vec<String> = surest_alone
        .caption(&pictures(&all), &request)
        .unwrap()
        .into_iter()
        .map(|caption| caption.text)
        .collect();
    assert_eq!(asked, before.iter().map(|caption| caption.text.clone()).collect::<Vec<_>>());
    let request = CaptionRequest { silent_below: Some(1.0), ..CaptionRequest::default() };
    let error = all.caption(&pictures(&surest_alone), &request).unwrap_err();
    assert_eq!(error.kind(), rsmoe::error::ErrorKind::Usage);
    assert_eq!(error.to_string(), "silent below: expected 0 <= number < 1, found 1");
}

#[test]
fn a_package_that_tells_nothing_of_it_always_answers() {
    let mut engine = engine("tiny-graph", Variant::Fp32);
    assert!(engine.manifest().confidence.is_none() && engine.unsure_below() <= 0.0);
    assert!(engine.silent_below() <= 0.0);
    for answer in ask(&mut engine, &Question::new("What is it?")) {
        assert_eq!((answer.said, answer.familiarity), (None, None));
    }
}
