//! One total order of modules; a module may name only those before it. Foreign crates stay in their places.

use std::fs;
use std::path::{Path, PathBuf};

/// The order, as in `ARCHITECTURE.md`.
const ORDER: [&str; 20] = [
    "geo", "tensor", "image", "manifest", "raster", "vector", "runtime", "text", "vision", "generate",
    "router", "expert", "merge", "stac", "error", "engine", "scene", "report", "bench", "cli",
];

/// Crates that only some files may name.
const CONFINED: [(&str, &[&str]); 8] = [
    ("ort", &["runtime/"]),
    ("tokenizers", &["text/tokenizer.rs"]),
    ("gdal", &["raster/", "vector/ogr.rs"]),
    ("gdal_sys", &["raster/cache.rs", "raster/transformer.rs", "raster/sample.rs"]),
    ("parquet", &["vector/geoparquet.rs"]),
    ("clap", &["cli/", "main.rs"]),
    ("anyhow", &["cli/", "main.rs"]),
    ("indicatif", &["cli/"]),
];

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The words behind every `prefix` in code lines, comments left out.
fn named<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(move |line| {
        line.match_indices(prefix).filter_map(move |(start, _)| {
            let is_word = |character: char| character.is_alphanumeric() || character == '_';
            let begins = !line[..start].ends_with(is_word);
            let rest = &line[start + prefix.len()..];
            let end = rest.find(|character| !is_word(character)).unwrap_or(rest.len());
            begins.then_some(&rest[..end])
        })
    })
}

fn position(module: &str) -> Option<usize> {
    ORDER.iter().position(|&name| name == module)
}

#[test]
fn modules_name_only_those_before_them_and_foreign_crates_stay_in_their_places() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut breaches = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).expect("readable");
        let relative = path.strip_prefix(&root).expect("below src").to_string_lossy().replace('\\', "/");
        let module = relative.split(['/', '.']).next().expect("not empty").to_owned();
        for (name, places) in CONFINED {
            let is_home = places.iter().any(|place| relative.starts_with(place));
            if !is_home && named(&text, &format!("{name}::")).next().is_some() {
                breaches.push(format!("{relative} names {name}::"));
            }
        }
        if matches!(module.as_str(), "lib" | "main") {
            continue;
        }
        let Some(own) = position(&module) else {
            breaches.push(format!("{relative}: module {module} has no place in the order"));
            continue;
        };
        for other in named(&text, "crate::") {
            if position(other).is_some_and(|other| other > own) {
                breaches.push(format!("{relative} names crate::{other}, which stands after it"));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn words_behind_a_prefix_are_found() {
    let found: Vec<&str> =
        named("use crate::engine::Engine; // x\n/// [`crate::cli`]\nsupercrate::no", "crate::").collect();
    assert_eq!(found, ["engine"]);
}
