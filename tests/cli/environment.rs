//! What the machine has and has not: the library, providers, `doctor`.

use serde_json::Value;
use tempfile::tempdir;

use crate::support::{bare, code, picture, rsmoe, stderr, stdout};

#[test]
fn a_missing_library_exits_with_69_and_says_how_to_get_it() {
    let directory = tempdir().unwrap();
    let input = picture(directory.path(), "a.png", 1);
    let output =
        rsmoe().args(["--ort-lib", "/no/such/libonnxruntime.so", "caption"]).arg(input).output().unwrap();
    assert_eq!(code(&output), 69, "{}", stderr(&output));
    assert!(stderr(&output).contains("/no/such/libonnxruntime.so"), "{}", stderr(&output));
    assert!(stderr(&output).contains("hint: "), "{}", stderr(&output));
}

#[test]
fn a_file_that_is_no_library_exits_with_69() {
    let directory = tempdir().unwrap();
    let input = picture(directory.path(), "a.png", 1);
    let output = rsmoe().arg("--ort-lib").arg(&input).arg("caption").arg(&input).output().unwrap();
    assert_eq!(code(&output), 69, "{}", stderr(&output));
}

#[test]
fn a_provider_asked_for_by_name_is_never_replaced() {
    let directory = tempdir().unwrap();
    let input = picture(directory.path(), "a.png", 1);
    for provider in ["cuda", "tensorrt"] {
        let output =
            rsmoe().args(["--provider", provider, "caption", "--jsonl"]).arg(&input).output().unwrap();
        // On a machine that has the provider it runs; nowhere does another one run in its place.
        match code(&output) {
            0 => assert!(stdout(&output).contains(&format!("\"provider\":\"{provider}\""))),
            other => assert_eq!(other, 69, "{}", stderr(&output)),
        }
    }
}

#[test]
fn doctor_reports_in_words_and_in_json() {
    let output = rsmoe().arg("doctor").output().unwrap();
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    for word in ["GDAL", "ONNX Runtime", "(vision encoder: vision.int8)", "0 problems"] {
        assert!(stdout(&output).contains(word), "{}", stdout(&output));
    }
    let output = rsmoe().args(["doctor", "--json"]).output().unwrap();
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(report["problems"], 0);
}

#[test]
fn doctor_names_what_is_missing_and_how_to_mend_it() {
    let output = bare().args(["--model", "no-such-package", "doctor"]).output().unwrap();
    assert_eq!(code(&output), 5);
    assert!(stdout(&output).contains("1 problem"), "{}", stdout(&output));
    assert!(stdout(&output).contains("to mend it"), "{}", stdout(&output));
}
