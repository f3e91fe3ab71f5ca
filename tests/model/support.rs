//! Packages, golden vectors and engines for the tests.

use std::path::{Path, PathBuf};

use ndarray::{Array3, ArrayD, IxDyn};
use rsmoe::image::PixelImage;
use rsmoe::manifest::{MANIFEST_FILE, Manifest, ModelPackage, Variant};
use rsmoe::runtime::{ExecutionProvider, ProviderPolicy, Runtime, RuntimeOptions};
use rsmoe::{Engine, EngineOptions};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

/// The tiny packages: adapter layout with a projection connector and a shortlist; graph layout with a Q-Former and a head
/// over the whole vocabulary.
pub(crate) const PACKAGES: [&str; 2] = ["tiny-adapter", "tiny-graph"];

/// Image tokens of the adapter package: those of the grid, and two of its concepts.
pub(crate) const IMAGE_TOKENS: usize = 8;

pub(crate) fn package_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packages").join(name)
}

pub(crate) fn package(name: &str) -> ModelPackage {
    ModelPackage::open(&package_path(name)).expect("the tiny packages are part of the repository")
}

/// ONNX Runtime; a clear message if there is no library.
pub(crate) fn runtime() -> &'static Runtime {
    match Runtime::start(&RuntimeOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => panic!("these tests need ONNX Runtime: {error}; {}", error.hint().unwrap_or_default()),
    }
}

pub(crate) fn cpu() -> ProviderPolicy {
    ProviderPolicy::Require(ExecutionProvider::Cpu)
}

pub(crate) fn options(path: &Path, variant: Variant) -> EngineOptions {
    EngineOptions { provider: cpu(), variant: Some(variant), ..EngineOptions::new(path) }
}

pub(crate) fn engine(name: &str, variant: Variant) -> Engine {
    runtime();
    Engine::load(&options(&package_path(name), variant)).expect("a tiny package loads")
}

/// A picture of the encoder's size whose pixels follow from `seed`.
pub(crate) fn picture(engine: &Engine, seed: usize) -> PixelImage {
    let size = engine.input_size();
    let pixels = Array3::from_shape_fn((size.height, size.width, 3), |(row, col, band)| {
        ((row * (seed + 3) + col * (5 * seed + 1) + band * 40 + seed * seed * 31) % 256) as u8
    });
    PixelImage::try_new(pixels).expect("three bands")
}

/// A writable copy of a package.
pub(crate) fn copy_of(name: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a temporary directory");
    copy_directory(&package_path(name), copy.path());
    copy
}

fn copy_directory(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("readable") {
        let path = entry.expect("readable").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            std::fs::create_dir(&target).expect("writable");
            copy_directory(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("writable");
        }
    }
}

/// Replaces text in a package's manifest, which must hold it.
pub(crate) fn edit_manifest(directory: &Path, from: &str, to: &str) {
    let path = directory.join("manifest.yaml");
    let text = std::fs::read_to_string(&path).expect("readable");
    assert!(text.contains(from), "the manifest holds {from:?}");
    std::fs::write(&path, text.replace(from, to)).expect("writable");
}

/// A copy of a package whose manifest is changed.
pub(crate) fn changed(name: &str, change: impl FnOnce(&mut Manifest)) -> tempfile::TempDir {
    let copy = copy_of(name);
    let path = copy.path().join(MANIFEST_FILE);
    let text = std::fs::read_to_string(&path).expect("readable");
    let mut manifest: Manifest = serde_yaml::from_str(&text).expect("a manifest");
    change(&mut manifest);
    std::fs::write(&path, serde_yaml::to_string(&manifest).expect("plain data")).expect("writable");
    copy
}

/// An error with all its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Inputs and expected outputs that the export side wrote with an independent reference.
pub(crate) struct Golden {
    bytes: Vec<u8>,
    run: serde_json::Value,
}

impl Golden {
    pub(crate) fn read(name: &str) -> Self {
        let directory = package_path(name).join("golden");
        let read = |file: &str| std::fs::read(directory.join(file)).expect("golden files are there");
        Self {
            bytes: read("golden.safetensors"),
            run: serde_json::from_slice(&read("run.json")).expect("valid JSON"),
        }
    }

    /// What the whole run was asked, and per variant what it wrote.
    pub(crate) fn run(&self) -> &serde_json::Value {
        &self.run
    }

    pub(crate) fn floats(&self, name: &str) -> ArrayD<f32> {
        self.with(name, |view| {
            view.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
        })
    }

    pub(crate) fn integers(&self, name: &str) -> ArrayD<i64> {
        self.with(name, |view| {
            view.data().as_chunks::<8>().0.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect()
        })
    }

    /// The picture of the whole run.
    pub(crate) fn picture(&self) -> PixelImage {
        let pixels: ArrayD<u8> = self.with("run.pixels", |view| view.data().to_vec());
        PixelImage::try_new(pixels.into_dimensionality().expect("three axes")).expect("three bands")
    }

    /// How familiar the picture of the whole run looks, if the package tells.
    pub(crate) fn familiarity(&self, variant: Variant) -> Option<f32> {
        let name = format!("run.{variant}.familiarity");
        let is_told = !self.names_below(&name).is_empty();
        is_told.then(|| self.floats(&name)[[0]])
    }

    /// Names that begin with `prefix`, without it.
    pub(crate) fn names_below(&self, prefix: &str) -> Vec<String> {
        let tensors = SafeTensors::deserialize(&self.bytes).expect("valid");
        let mut names: Vec<String> = tensors
            .names()
            .into_iter()
            .filter_map(|name| name.strip_prefix(prefix))
            .map(str::to_owned)
            .collect();
        names.sort();
        names
    }

    fn with<T>(&self, name: &str, values: impl Fn(&TensorView<'_>) -> Vec<T>) -> ArrayD<T> {
        let tensors = SafeTensors::deserialize(&self.bytes).expect("valid");
        let view = tensors.tensor(name).unwrap_or_else(|_| panic!("golden tensor {name}"));
        ArrayD::from_shape_vec(IxDyn(view.shape()), values(&view)).expect("a shape that fits")
    }
}
