//! What a process decides once, tried in processes of their own: threads and the ONNX Runtime library.

use std::process::{Command, Output};

use rsmoe::engine::Speculation;
use rsmoe::manifest::Variant;
use rsmoe::{CaptionRequest, Engine, EngineOptions, ErrorKind};

use crate::support::{PACKAGES, chain, cpu, options, package_path, picture};

/// Number of threads for [`captions_of_a_child`]; its being there says that this is a child.
const THREADS: &str = "RSMOE_TEST_THREADS";

/// Pictures that a child captions: a full batch of 48 rows.
const PICTURES: usize = 16;

fn child(test: &str, environment: &[(&str, &str)]) -> Output {
    let executable = std::env::current_exe().expect("a path");
    let mut command = Command::new(executable);
    command.args(["--exact", test, "--ignored", "--nocapture"]).envs(environment.iter().copied());
    command.output().expect("a child process")
}

#[test]
#[ignore = "run in a process of its own by neither_the_number_of_threads_nor_speculation_changes_a_text"]
fn captions_of_a_child() {
    let threads = std::env::var(THREADS).unwrap().parse().unwrap();
    for name in PACKAGES {
        for variant in Variant::ALL {
            for speculation in [Speculation::On, Speculation::Off] {
                let options = options(&package_path(name), variant);
                let options = EngineOptions { threads: Some(threads), speculation, ..options };
                let mut engine = Engine::load(&options).unwrap();
                let pictures: Vec<_> = (0..PICTURES).map(|seed| picture(&engine, seed)).collect();
                // One image, then a full batch that can draft from it.
                for pictures in [&pictures[..1], &pictures] {
                    for caption in engine.caption(pictures, &CaptionRequest::default()).unwrap() {
                        println!("caption {speculation:?} {name} {variant} {:?}", caption.text);
                    }
                }
            }
        }
    }
}

#[test]
fn neither_the_number_of_threads_nor_speculation_changes_a_text() {
    let captions = |threads: &str| {
        let output = child("processes::captions_of_a_child", &[(THREADS, threads)]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text.lines().filter(|line| line.starts_with("caption ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let one = captions("1");
    assert_eq!(one.len(), PACKAGES.len() * Variant::ALL.len() * 2 * (1 + PICTURES));
    assert_eq!(one, captions("2"));
    let of = |speculation: &str| {
        let start = format!("caption {speculation} ");
        one.iter().filter_map(|line| line.strip_prefix(&start)).collect::<Vec<_>>()
    };
    assert_eq!(of("On"), of("Off"));
}

#[test]
#[ignore = "run in a process of its own by a_missing_or_broken_library_is_a_clear_error"]
fn loading_of_a_child() {
    let options = EngineOptions { provider: cpu(), ..EngineOptions::new(package_path("tiny-adapter")) };
    let error = Engine::load(&options).expect_err("there is no library");
    assert_eq!(error.kind(), ErrorKind::ProviderUnavailable);
    println!("error {}", chain(&error));
    println!("hint {}", error.hint().unwrap());
}

#[test]
fn a_missing_or_broken_library_is_a_clear_error() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("libonnxruntime.so");
    let broken = directory.path().join("libonnxruntime.so.1.31.1");
    std::fs::write(&broken, b"not a library").unwrap();
    for (library, expected) in
        [(&missing, "no ONNX Runtime library found"), (&broken, "cannot use the ONNX Runtime")]
    {
        let output = child("processes::loading_of_a_child", &[("ORT_DYLIB_PATH", library.to_str().unwrap())]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains(expected) && text.contains(library.to_str().unwrap()), "{text}");
        assert!(text.contains("--ort-lib"), "{text}");
    }
}
