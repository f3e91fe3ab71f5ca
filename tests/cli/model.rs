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

#[test]
fn the_package_as_a_stac_item_names_its_input_its_files_and_its_variant() {
    let directory = tempdir().unwrap();
    let item = directory.path().join("model.stac.json");
    let export = |more: &[&str]| {
        rsmoe().args(["model", "export-mlm", "--out"]).arg(&item).args(more).output().unwrap()
    };
    let output = export(&["--variant", "int4"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let found: Value = serde_json::from_slice(&fs::read(&item).unwrap()).unwrap();
    assert_eq!(
        (&found["type"], &found["stac_version"], &found["id"]),
        (&"Feature".into(), &"1.1.0".into(), &"tiny-adapter".into())
    );
    let properties = &found["properties"];
    assert_eq!(properties["mlm:name"], "tiny-adapter");
    assert_eq!(properties["mlm:input"][0]["input"]["dim_order"].as_array().unwrap().len(), 4);
    assert_eq!(properties["mlm:hyperparameters"]["variant"], "int4");
    assert!(properties["mlm:memory_size"].as_u64().unwrap() > 1000);
    let models = |asset: &&Value| asset["roles"][0] == "mlm:model";
    let assets = found["assets"].as_object().unwrap();
    assert_eq!(assets.values().filter(models).count(), 1);
    for asset in assets.values() {
        let file = directory.path().join(asset["href"].as_str().unwrap());
        assert!(file.is_file(), "{}", file.display());
    }
    assert!(assets.contains_key("base.int4.onnx") && !assets.contains_key("base.w8a8.onnx"));
    let output = export(&[]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("--overwrite"), "{}", stderr(&output));
    assert_eq!(code(&export(&["--overwrite"])), 0);
    let output = rsmoe().args(["model", "export-mlm", "--out", "model.json"]).output().unwrap();
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("ends in .stac.json"), "{}", stderr(&output));
}
