//! Every graph, and whole runs, against an independent reference (float64 numpy and transformers, see `export/`).

use ndarray::ArrayD;
use rsmoe::CaptionRequest;
use rsmoe::engine::{ImageQuestion, Question, Style};
use rsmoe::manifest::Variant;
use rsmoe::runtime::{Array, Session};
use rsmoe::tensor::DType;
use rsmoe::vision::preprocess;

use crate::support::{Golden, PACKAGES, cpu, engine, package, runtime};

/// Largest absolute difference of values computed in f32 throughout; sums of a few hundred products of values near 1.
const FLOAT_TOLERANCE: f32 = 1e-4;
/// Features of an int8 tower: one step of the last grid, whose range is 6 at most. A value within float rounding of the middle
/// between two steps may go either way.
const INT8_TOWER_TOLERANCE: f32 = 6.0 / 255.0 + FLOAT_TOLERANCE;
/// int4 kernels round activations to 8 bits per block, which the reference does not.
const INT4_TOLERANCE: f32 = 0.15;
/// Pixel values are a subtraction and a division of exact values.
const PIXEL_TOLERANCE: f32 = 1e-6;

/// Weights and scales of w8a8 are those of the reference, which rounds activations the same way.
fn tolerance(variant: Variant) -> f32 {
    match variant {
        Variant::Fp32 | Variant::W8a8 => FLOAT_TOLERANCE,
        Variant::Int4 => INT4_TOLERANCE,
    }
}

fn assert_close(found: &ArrayD<f32>, expected: &ArrayD<f32>, tolerance: f32, what: &str) {
    assert_eq!(found.shape(), expected.shape(), "{what}");
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max);
    assert!(worst <= tolerance, "{what}: largest difference {worst}, allowed {tolerance}");
}

/// Runs graph `graph` on the golden inputs below `inputs` and compares all outputs below `outputs`.
fn check_graph(name: &str, graph: &str, (inputs, outputs): (&str, &str), tolerance: f32) {
    let package = package(name);
    let golden = Golden::read(name);
    let spec = &package.manifest().graphs[graph];
    let mut session =
        Session::load(runtime(), (graph, &package.path(&spec.file)), spec, &cpu()).expect("the graph loads");
    let given: Vec<(&str, Array)> = spec
        .inputs
        .iter()
        .map(|input| {
            let tensor = format!("{inputs}{}", input.name);
            let array = match input.dtype {
                DType::I64 => Array::I64(golden.integers(&tensor)),
                _ => Array::F32(golden.floats(&tensor)),
            };
            (input.name.as_str(), array)
        })
        .collect();
    let given: Vec<(&str, &Array)> = given.iter().map(|(name, array)| (*name, array)).collect();
    let names = golden.names_below(outputs);
    assert!(!names.is_empty(), "golden outputs of {graph}");
    let asked: Vec<&str> = names.iter().map(String::as_str).collect();
    for (output, found) in names.iter().zip(session.run(&given, &asked).expect("the graph runs")) {
        let what = format!("{name}, {graph}, {output}");
        match found {
            Array::F32(found) => {
                assert_close(&found, &golden.floats(&format!("{outputs}{output}")), tolerance, &what);
            }
            Array::I64(found) => assert_eq!(found, golden.integers(&format!("{outputs}{output}")), "{what}"),
        }
    }
}

#[test]
fn vision_encoders_and_connectors_agree_with_the_reference() {
    for name in PACKAGES {
        check_graph(name, "vision", ("vision.in.", "vision.out."), FLOAT_TOLERANCE);
        check_graph(name, "connector", ("connector.in.", "connector.out."), FLOAT_TOLERANCE);
    }
}

#[test]
fn the_int8_vision_encoder_agrees_with_the_reference() {
    let outputs = ("vision.in.", "vision.int8.out.");
    check_graph("tiny-adapter", "vision.int8", outputs, INT8_TOWER_TOLERANCE);
}

#[test]
fn every_decoder_in_every_variant_agrees_with_the_reference() {
    for name in PACKAGES {
        for (decoder, spec) in &package(name).manifest().decoders {
            for (&variant, graph) in &spec.variants {
                let tensors = (format!("{decoder}.in."), format!("{decoder}.{variant}.out."));
                check_graph(name, &graph.graph, (&tensors.0, &tensors.1), tolerance(variant));
            }
        }
    }
}

#[test]
fn the_full_head_agrees_with_the_reference() {
    check_graph(
        "tiny-adapter",
        "base.full_head",
        ("base.full_head.in.", "base.full_head.out."),
        FLOAT_TOLERANCE,
    );
}

#[test]
fn preprocessing_agrees_with_the_reference() {
    for name in PACKAGES {
        let golden = Golden::read(name);
        let spec = package(name).manifest().vision_encoder.preprocess.clone();
        let tensor = preprocess(&[golden.picture()], &spec).expect("a picture of the right kind");
        let expected = golden.floats("run.pixel_values");
        assert_close(&tensor.into_values().into_dyn(), &expected, PIXEL_TOLERANCE, name);
    }
}

/// Router, experts, brief caption and answer of one picture: prompts, texts and confidences.
#[test]
fn whole_runs_write_what_the_reference_writes() {
    for name in PACKAGES {
        let golden = Golden::read(name);
        for variant in Variant::ALL {
            let mut engine = engine(name, variant);
            let expected = &golden.run()["variants"][variant.name()];
            let text =
                |of: &str| expected["generated"][of]["text"].as_str().expect("a text").trim().to_owned();
            let finish =
                |of: &str| expected["generated"][of]["finish"].as_str().expect("a reason").to_owned();
            let spec = engine.manifest().confidence.unwrap_or_default();
            let familiarity = golden.familiarity(variant);
            let confidence = |of: &str| {
                let logprobs = golden.floats(&format!("run.{variant}.{of}_logprobs"));
                let mean = logprobs.mean().expect("not empty");
                familiarity.unwrap_or(1.0) * (mean / spec.temperature.text as f32).exp()
            };
            let close = |found: f32, of: &str| {
                let expected = confidence(of);
                let what = format!("{name} {variant} {of}: confidence {found}, expected {expected}");
                assert!((found - expected).abs() <= tolerance(variant), "{what}");
            };
            let picture = [golden.picture()];
            let full = engine.caption(&picture, &CaptionRequest::default()).expect("a caption").remove(0);
            assert_eq!(full.familiarity.is_some(), familiarity.is_some(), "{name}");
            for (found, expected) in full.familiarity.iter().zip(&familiarity) {
                assert!((found - expected).abs() <= FLOAT_TOLERANCE, "{name}: {found}, expected {expected}");
            }
            for (index, expert) in full.experts.iter().enumerate() {
                let what = format!("{name} {variant} {}", expert.name);
                assert_eq!(expert.prompt, expected["prompts"][index].as_str().expect("a prompt"), "{what}");
                assert_eq!(expert.text, text(&expert.name), "{what}");
                assert_eq!(expert.finish.name(), finish(&expert.name), "{what}");
                close(expert.confidence, &expert.name);
            }
            let request = CaptionRequest { style: Style::Brief, ..CaptionRequest::default() };
            let brief = engine.caption(&picture, &request).expect("a caption").remove(0);
            assert_eq!(brief.text, text("brief"), "{name} {variant}");
            close(brief.confidence, "brief");
            // What is written counts here, however sure it is.
            let question = Question {
                unsure_below: Some(0.0),
                ..Question::new(golden.run()["question"].as_str().expect("a question"))
            };
            let asked = [ImageQuestion { image: 0, question }];
            let answer = engine.ask(&picture, &asked).expect("an answer").remove(0);
            assert_eq!(answer.text, text("answer"), "{name} {variant}");
            close(answer.confidence, "answer");
        }
    }
}
