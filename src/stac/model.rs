//! A model package as a STAC item of the machine learning model extension (MLM).

use std::path::Path;

use serde_json::{Value, json};

use super::{VERSION, reference};
use crate::expert::MemoryLimit;
use crate::manifest::{MANIFEST_FILE, Manifest, ModelPackage, ProvenanceValue, RouterSpec, Variant};

const MLM: &str = "https://stac-extensions.github.io/mlm/v1.5.0/schema.json";
/// A value of the picture's bands that is white; the manifest's means are of values from 0 to 1.
const WHITE: f32 = 255.0;

/// The item of a package for a catalogue, by the [extension](https://github.com/stac-extensions/mlm) for models, 1.5.0, as seen from the
/// directory `place`. Both paths are absolute.
///
/// A model belongs to no place and no time, so the item has all of both, as the extension advises. Models are named without digest: the
/// items of scenes link to them by that name.
pub fn model_item(package: &ModelPackage, variant: Variant, root: &Path, place: &Path) -> Value {
    let manifest = package.manifest();
    json!({
        "type": "Feature", "stac_version": VERSION, "stac_extensions": [MLM], "id": manifest.name,
        "geometry": {"type": "Polygon", "coordinates": [[[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]]},
        "bbox": [-180, -90, 180, 90],
        "properties": properties(package, manifest, variant),
        "links": [],
        "assets": assets(manifest, variant, root, place),
    })
}

fn properties(package: &ModelPackage, manifest: &Manifest, variant: Variant) -> Value {
    let bases: Vec<&str> = ["base", "vision"]
        .iter()
        .filter_map(|name| match manifest.provenance.get(*name) {
            Some(ProvenanceValue::Text(text)) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    let router = match manifest.router {
        RouterSpec::Generative { .. } => "generative",
        RouterSpec::Fixed => "fixed",
    };
    let experts: Vec<&str> = manifest.experts.list.iter().map(|expert| expert.name.as_str()).collect();
    let mut properties = json!({
        "description": manifest.description,
        "license": manifest.license.id,
        "datetime": null, "start_datetime": "1900-01-01T00:00:00Z", "end_datetime": "9999-12-31T23:59:59Z",
        "mlm:name": manifest.name,
        "mlm:architecture": "RS-MoE: vision encoder, instruction router, mixture of expert language models",
        "mlm:tasks": ["image-captioning"],
        "mlm:framework": "ONNX",
        "mlm:memory_size": MemoryLimit::of_everything(manifest, variant).bytes(),
        "mlm:accelerator": null,
        "mlm:accelerator_constrained": false,
        "mlm:accelerator_summary": "ONNX Runtime 1.24 or newer on a processor, CUDA or TensorRT",
        "mlm:pretrained": !bases.is_empty(),
        "mlm:input": [input(manifest)],
        "mlm:output": [{
            "name": "caption", "tasks": ["image-captioning"],
            "result": {"shape": [-1], "dim_order": ["batch"], "data_type": "other"},
            "description": "text in English, with a confidence",
        }],
        "mlm:hyperparameters": {"variant": variant.to_string(), "router": router, "experts": experts},
        "rsmoe:model": package.id(),
        "rsmoe:ground_resolution_m": manifest.ground_resolution_m,
    });
    properties["mlm:pretrained_source"] =
        if bases.is_empty() { Value::Null } else { json!(bases.join("; ")) };
    properties
}

/// A picture, as the vision encoder gets it.
fn input(manifest: &Manifest) -> Value {
    let preprocess = &manifest.vision_encoder.preprocess;
    let scaling = preprocess.mean.iter().zip(preprocess.std);
    let scaling: Vec<Value> = scaling
        .map(|(&mean, std)| json!({"type": "z-score", "mean": mean * WHITE, "stddev": std * WHITE}))
        .collect();
    json!({
        "name": "image",
        "bands": preprocess.bands,
        "input": {
            "shape": [-1, 3, preprocess.height, preprocess.width],
            "dim_order": ["batch", "channel", "height", "width"],
            "data_type": "float32",
        },
        "value_scaling": scaling,
        "resize_type": "interpolation-linear",
        "description": "8-bit colours, 0 to 255; what other values become them is in the record of a scene",
    })
}

/// The manifest, which says how the graphs play together, and the files that the variant runs.
fn assets(manifest: &Manifest, variant: Variant, root: &Path, place: &Path) -> Value {
    let mut assets = json!({
        "manifest": {
            "href": reference(&root.join(MANIFEST_FILE), place), "type": "application/yaml",
            "title": "How the graphs play together", "roles": ["mlm:model"], "mlm:artifact_type": "ONNX",
        },
    });
    for file in manifest.files_in_use(variant) {
        let is_graph = Path::new(file).extension().is_some_and(|extension| extension == "onnx");
        let media_type = if is_graph {
            "application/octet-stream; framework=onnx; profile=onnx"
        } else {
            "application/octet-stream"
        };
        assets[file] = json!({
            "href": reference(&root.join(file), place), "type": media_type,
            "roles": [if is_graph { "mlm:weights" } else { "data" }],
        });
        if is_graph {
            assets[file]["mlm:artifact_type"] = json!("ONNX");
        }
    }
    assets
}
