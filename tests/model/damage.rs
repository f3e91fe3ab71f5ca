//! Packages that are missing, damaged, or contradict themselves.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rsmoe::manifest::{
    ConfidenceSpec, FileFaultReason, Manifest, ManifestError, ModelPackage, Temperatures, Variant,
    VariantSpec,
};
use rsmoe::{Engine, Error, ErrorKind};

use crate::support::{
    PACKAGES, chain, changed, copy_of, edit_manifest, engine, options, package, package_path, runtime,
};

/// Places per file where a byte is flipped.
const FLIPS_PER_FILE: u32 = 4;

fn load(path: &Path, variant: Variant) -> Error {
    runtime();
    Engine::load(&options(path, variant)).expect_err("this package is not to be loaded")
}

#[test]
fn the_tiny_packages_are_intact() {
    for name in PACKAGES {
        package(name).verify().unwrap();
        for variant in Variant::ALL {
            let package = package(name);
            package.verify_files(&package.manifest().files_in_use(variant)).unwrap();
        }
    }
}

#[test]
fn a_flipped_byte_is_found_wherever_it_is() {
    for name in PACKAGES {
        let copy = copy_of(name);
        let package = ModelPackage::open(copy.path()).unwrap();
        for (file, spec) in &package.manifest().files {
            let path = copy.path().join(file);
            let content = fs::read(&path).unwrap();
            let mut runner = TestRunner::new(Config { cases: FLIPS_PER_FILE, ..Config::default() });
            runner
                .run(&(0..spec.size as usize, 0_u32..8), |(position, bit)| {
                    let mut damaged = content.clone();
                    damaged[position] ^= 1 << bit;
                    fs::write(&path, damaged).unwrap();
                    let Err(ManifestError::Damaged { faults, .. }) = package.verify() else {
                        panic!("{file}: byte {position}, bit {bit}");
                    };
                    prop_assert_eq!(faults.len(), 1);
                    prop_assert_eq!(&faults[0].path, file);
                    prop_assert!(matches!(faults[0].reason, FileFaultReason::Digest { .. }), "{}", faults[0]);
                    Ok(())
                })
                .unwrap();
            fs::write(&path, content).unwrap();
        }
        package.verify().unwrap();
    }
}

#[test]
fn an_engine_is_not_loaded_from_damaged_files_and_all_of_them_are_named() {
    let copy = copy_of("tiny-adapter");
    for file in ["tokenizer.json", "base.w8a8.onnx.data"] {
        let path = copy.path().join(file);
        let mut content = fs::read(&path).unwrap();
        content[100] ^= 1;
        fs::write(&path, content).unwrap();
    }
    fs::remove_file(copy.path().join("connector.onnx")).unwrap();
    fs::write(copy.path().join("output_ids.bin"), b"short").unwrap();
    let error = load(copy.path(), Variant::W8a8);
    assert_eq!(error.kind(), ErrorKind::ModelPackage);
    assert_eq!(error.kind().exit_code(), 5);
    assert!(error.hint().is_some());
    let text = chain(&error);
    for expected in [
        "4 problems",
        "tokenizer.json: expected SHA-256",
        "base.w8a8.onnx.data: expected SHA-256",
        "connector.onnx: missing",
        "output_ids.bin: expected 492 bytes, found 5",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn a_package_that_is_not_there_says_so() {
    let empty = tempfile::tempdir().unwrap();
    for path in
        [empty.path(), &empty.path().join("absent"), &package_path("tiny-adapter").join("vision.onnx")]
    {
        let error = load(path, Variant::W8a8);
        assert_eq!(error.kind(), ErrorKind::ModelPackage);
        assert!(chain(&error).contains("no model package in"), "{}", chain(&error));
        assert!(error.hint().is_some());
    }
    fs::write(empty.path().join("recipe.yaml"), "").unwrap();
    let hint = load(empty.path(), Variant::W8a8).hint().unwrap();
    assert!(hint.contains("python -m rsmoe_export build"), "{hint}");
}

#[test]
fn a_manifest_that_is_not_one_names_the_place() {
    for (from, to, expected) in [
        ("schema_version: 1", "schema_version: [", "line"),
        ("schema_version: 1", "schema_version: 1\nsurprise: 2", "unknown field `surprise`"),
        ("kind: projection", "kind: magic", "unknown variant `magic`"),
        ("  image_tokens: 8\n", "  image_tokens: 8\n  tokenizer: x\n", "unknown field `tokenizer`"),
        ("name: tiny-adapter", "nome: tiny-adapter", "unknown field `nome`"),
    ] {
        let copy = copy_of("tiny-adapter");
        edit_manifest(copy.path(), from, to);
        let text = chain(&load(copy.path(), Variant::W8a8));
        assert!(text.contains(expected), "{to}: {text}");
    }
}

#[test]
fn contradictions_in_a_manifest_are_listed_all_at_once() {
    let copy = copy_of("tiny-adapter");
    for (from, to) in [
        ("schema_version: 1", "schema_version: 2"),
        ("  tokenizer: tokenizer.json", "  tokenizer: ../tokenizer.json"),
        (
            "{name: theme, prompt: Name the scene., decoder: base, adapter: theme}",
            "{name: objects, prompt: Name the scene., decoder: lost, adapter: theme}",
        ),
        ("stop_tokens: [\"<|im_end|>\", \"<|endoftext|>\"]", "stop_tokens: []"),
        ("std: [0.229, 0.224, 0.225]", "std: [0.229, 0.0, 0.225]"),
        ("image_tokens: 8", "image_tokens: 7"),
        ("  layout: adapter\n", "  layout: adapter\n  lead: weather\n"),
        ("past_key: \"past_key.{layer}\"", "past_key: past_key"),
    ] {
        edit_manifest(copy.path(), from, to);
    }
    let Err(ManifestError::Invalid { problems, .. }) = ModelPackage::open(copy.path()) else {
        panic!("a manifest that contradicts itself");
    };
    let text = problems.join("\n");
    for expected in [
        "schema_version: expected 1, found 2",
        "language.tokenizer: \"../tokenizer.json\" is not listed",
        "experts.list: a name appears twice",
        "experts.lead: no expert is called weather",
        "decoder \"lost\" is not listed",
        "language.stop_tokens: expected at least one",
        "preprocess.std: expected positive",
        "output \"image_embeddings\": expected f32[?, 7, 32], found f32[batch, 8, 32]",
        "inputs.past_key: expected a name with {layer}",
    ] {
        assert!(text.contains(expected), "{expected}:\n{text}");
    }
}

#[test]
fn a_calibration_out_of_its_ranges_is_refused_with_all_of_it() {
    let spec = |choice, text, threshold| {
        let temperature = Temperatures { choice, text };
        Some(ConfidenceSpec { temperature, unsure_below: threshold, silent_below: threshold })
    };
    let copy = changed("tiny-graph", |manifest| manifest.confidence = spec(0.0, f64::INFINITY, 1.0));
    let error = load(copy.path(), Variant::Fp32);
    assert_eq!(error.kind(), ErrorKind::ModelPackage);
    let text = chain(&error);
    for expected in [
        "4 problems",
        "confidence.temperature.choice: expected a finite number above 0, found 0",
        "confidence.temperature.text: expected a finite number above 0, found inf",
        "confidence.unsure_below: expected 0 <= number < 1, found 1",
        "confidence.silent_below: expected 0 <= number < 1, found 1",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let copy = changed("tiny-graph", |manifest| manifest.confidence = spec(1.7, 0.6, 0.55));
    ModelPackage::open(copy.path()).unwrap();
}

#[test]
fn familiarity_must_be_an_output_of_the_vision_graph_with_one_number_per_image() {
    for (output, expected) in [
        ("lost", "graphs.vision: no output \"lost\""),
        ("features", "graphs.vision: output \"features\": expected f32[?], found f32[batch, "),
    ] {
        let name = |manifest: &mut Manifest| manifest.vision_encoder.familiarity = Some(output.to_owned());
        let copy = changed("tiny-graph", name);
        let text = chain(&load(copy.path(), Variant::Fp32));
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn a_variants_own_vision_graph_must_be_there_and_have_the_encoders_signature() {
    for (graph, expected) in [
        ("lost", "vision_encoder.variants.int4: graph \"lost\" is not listed under graphs"),
        ("connector", "graphs.connector: no input \"pixel_values\""),
    ] {
        let copy = changed("tiny-adapter", |manifest| {
            let own = VariantSpec { graph: graph.to_owned() };
            manifest.vision_encoder.variants.insert(Variant::Int4, own);
        });
        let text = chain(&load(copy.path(), Variant::Fp32));
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn each_variant_reads_and_runs_its_own_vision_graph() {
    let copy = copy_of("tiny-adapter");
    fs::write(copy.path().join("vision.int8.onnx"), b"damaged").unwrap();
    let float = Engine::load(&options(copy.path(), Variant::Fp32)).unwrap();
    assert_eq!(float.vision_graph(), "vision");
    for variant in [Variant::W8a8, Variant::Int4] {
        assert!(chain(&load(copy.path(), variant)).contains("vision.int8.onnx"), "{variant}");
        assert_eq!(engine("tiny-adapter", variant).vision_graph(), "vision.int8");
        assert_eq!(engine("tiny-graph", variant).vision_graph(), "vision", "a package with one graph");
    }
}

#[test]
fn absurd_sizes_are_refused_before_anything_is_allocated() {
    let huge = usize::MAX / 2;
    for (from, field) in [
        ("max_context: 96", "max_context"),
        ("image_tokens: 8", "image_tokens"),
        ("layers: 2", "layers"),
        ("head_dim: 8", "head_dim"),
        ("width: 40", "width"),
        ("caption: 10", "caption"),
    ] {
        let copy = copy_of("tiny-adapter");
        edit_manifest(copy.path(), from, &format!("{field}: {huge}"));
        let text = chain(&load(copy.path(), Variant::W8a8));
        assert!(text.contains(&format!("{field}: expected a number from 1 to")), "{text}");
    }
}

#[test]
fn a_manifest_with_a_wrong_byte_is_read_or_refused_but_never_a_panic() {
    let copy = copy_of("tiny-graph");
    let path = copy.path().join("manifest.yaml");
    let content = fs::read(&path).unwrap();
    let mut runner = TestRunner::new(Config { cases: 300, ..Config::default() });
    runner
        .run(&(0..content.len(), any::<u8>()), |(position, byte)| {
            let mut damaged = content.clone();
            damaged[position] = byte;
            fs::write(&path, damaged).unwrap();
            let _ = ModelPackage::open(copy.path());
            Ok(())
        })
        .unwrap();
}

#[test]
fn paths_stay_inside_the_package() {
    for path in ["../vision.onnx", "/etc/passwd", "a/../../b"] {
        let copy = copy_of("tiny-adapter");
        edit_manifest(copy.path(), "file: vision.onnx", &format!("file: {path}"));
        edit_manifest(copy.path(), "  vision.onnx: {size", &format!("  {path}: {{size"));
        let text = chain(&load(copy.path(), Variant::W8a8));
        assert!(text.contains("is not a relative path inside the package"), "{text}");
    }
}

#[test]
fn a_graph_that_is_not_as_the_manifest_says_is_refused_with_all_differences() {
    let copy = copy_of("tiny-adapter");
    // The manifest agrees with itself but not with the graph.
    edit_manifest(copy.path(), "features: features", "features: seen");
    edit_manifest(
        copy.path(),
        "{name: features, dtype: f32, shape: [batch, 3, 5, 24]}",
        "{name: seen, dtype: f32, shape: [batch, 3, 6, 24]}",
    );
    let error = load(copy.path(), Variant::W8a8);
    assert_eq!(error.kind(), ErrorKind::ModelPackage);
    let text = chain(&error);
    for expected in [
        "graph \"connector\" is not the one that the manifest describes",
        "input \"seen\": expected f32[batch, 3, 6, 24], found none",
        "input \"features\": not in the manifest, found f32[batch, 3, 5, 24]",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn a_graph_may_name_no_weights_but_its_own() {
    let copy = copy_of("tiny-adapter");
    edit_manifest(copy.path(), "    data: [base.w8a8.onnx.data]\n", "");
    let error = load(copy.path(), Variant::W8a8);
    assert_eq!(error.kind(), ErrorKind::ModelPackage);
    let text = chain(&error);
    assert!(text.contains("names external weights in \"base.w8a8.onnx.data\""), "{text}");
}

#[test]
fn a_variant_that_was_not_built_is_refused_with_the_command_that_builds_it() {
    let copy = copy_of("tiny-adapter");
    edit_manifest(copy.path(), "      int4: {graph: base.int4}\n", "");
    let error = load(copy.path(), Variant::Int4);
    assert_eq!(error.kind(), ErrorKind::ModelPackage);
    assert!(chain(&error).contains("holds no variant int4; built: w8a8, fp32"), "{}", chain(&error));
    let hint = error.hint().unwrap();
    assert!(
        hint.contains("python -m rsmoe_export build") && hint.ends_with("--variants w8a8,fp32,int4"),
        "{hint}"
    );
}

#[test]
fn a_tokenizer_that_is_none_is_a_fault_of_the_package() {
    let copy = copy_of("tiny-adapter");
    edit_manifest(copy.path(), "  tokenizer: tokenizer.json", "  tokenizer: output_ids.bin");
    let error = load(copy.path(), Variant::W8a8);
    assert_eq!(error.kind(), ErrorKind::ModelPackage);
    assert!(chain(&error).contains("cannot use the tokenizer"), "{}", chain(&error));
    let copy = copy_of("tiny-adapter");
    edit_manifest(copy.path(), "\"<|endoftext|>\"]", "\"<|absent|>\"]");
    let text = chain(&load(copy.path(), Variant::W8a8));
    assert!(text.contains("token \"<|absent|>\" is not in the vocabulary"), "{text}");
}
