//! `rsmoe model`.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::tempdir;

use crate::support::{bare, code, package, rsmoe, stderr, stdout};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn info_says_what_is_in_the_package() {
    let output = rsmoe().args(["model", "info"]).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let graphs = "w8a8: vision.int8, int4: vision.int8, fp32: vision";
    for word in ["tiny-adapter@", "theme", "relationship", graphs, "generative", "not sure\" below 0.35"] {
        assert!(stdout(&output).contains(word), "{word} in {}", stdout(&output));
    }
    let output = rsmoe().args(["model", "info", "--json"]).output().unwrap();
    let value: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(value["manifest"]["name"], "tiny-adapter");
}

#[test]
fn info_says_how_much_memory_the_weights_take_and_verify_loads_every_decoder_within_it() {
    let run = |arguments: &[&str]| {
        let output = bare().arg("--model").arg(package("tiny-graph")).args(arguments).output().unwrap();
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        output
    };
    assert!(stdout(&run(&["model", "info"])).contains("w8a8: 268K, 192K with --memory-limit"));
    // fp32 is the largest: its base alone takes 271K.
    let verified = run(&["-v", "--memory-limit", "271K", "model", "verify"]);
    for decoder in ["base", "objects", "theme"] {
        let loaded = format!("loaded decoder=\"{decoder}\"");
        assert!(stderr(&verified).contains(&loaded), "{decoder}: {}", stderr(&verified));
    }
}

#[test]
fn an_intact_package_is_verified_and_a_flipped_byte_is_found() {
    let directory = tempdir().unwrap();
    let root = directory.path().join("tiny");
    copy(&package("tiny-adapter"), &root);
    let verify = || bare().arg("--model").arg(&root).args(["model", "verify"]).output().unwrap();
    let output = verify();
    assert_eq!(code(&output), 0, "{}", stderr(&output));

    let file = root.join("vision.onnx");
    let mut content = fs::read(&file).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(&file, content).unwrap();
    let output = verify();
    assert_eq!(code(&output), 5);
    assert!(stderr(&output).contains("vision.onnx"), "{}", stderr(&output));
    assert!(stderr(&output).contains("hint: "), "{}", stderr(&output));
}

#[test]
fn list_shows_the_packages_of_the_current_directory() {
    let directory = tempdir().unwrap();
    copy(&package("tiny-adapter"), &directory.path().join("models/tiny-adapter"));
    let output = bare().current_dir(directory.path()).args(["model", "list"]).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("tiny-adapter@"), "{}", stdout(&output));
}

#[test]
fn a_package_that_is_not_there_exits_with_5_and_says_where_it_was_looked_for() {
    let directory = tempdir().unwrap();
    for name in ["no-such-package", "./no/such/directory"] {
        let output = bare()
            .current_dir(directory.path())
            .args(["--model", name, "caption", "x.png"])
            .output()
            .unwrap();
        assert_eq!(code(&output), 5, "{}", stderr(&output));
        assert!(stderr(&output).contains(name), "{}", stderr(&output));
        assert!(stderr(&output).contains("make model"), "{}", stderr(&output));
    }
}
