//! The model package: a directory with `manifest.yaml`, a tokenizer and ONNX graphs.
//!
//! Everything that is a fact of a model stands in the [`Manifest`] and nowhere in the code. [`ModelPackage`] reads it,
//! checks it (all problems at once), keeps every path inside the package and verifies the files before they are used.

mod component;
mod confidence;
mod drafts;
mod error;
mod external_data;
mod generation;
mod integrity;
mod package;
mod preprocess;
mod validate;

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use component::{
    CaptionerSpec, ConnectorSpec, DecoderInputs, DecoderOutputs, DecoderSpec, ExpertSpec, ExpertsSpec,
    FullHeadSpec, Layout, RouterSpec, Variant, VariantChoice, VariantSpec, Views, VisionEncoderSpec,
};
pub use confidence::{ConfidenceSpec, Temperatures};
pub use drafts::DraftTexts;
pub use error::{FileFault, FileFaultReason, ManifestError};
pub use generation::{
    GenerationSpec, LanguageSpec, NewTokens, PromptSpec, SegmentTemplate, Slot, TokenLimits,
};
pub use package::{MANIFEST_FILE, ModelPackage};
pub use preprocess::{Band, PreprocessSpec, Resampling};

use crate::tensor::TensorSpec;

/// The version of the manifest's layout that this library reads.
pub const SCHEMA_VERSION: u32 = 1;

/// The typed content of `manifest.yaml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Layout version of this file, [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Name of the package: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// Under which terms the weights may be used.
    pub license: License,
    /// Where the weights come from and what wrote them; no timestamps, so that builds are reproducible.
    pub provenance: BTreeMap<String, ProvenanceValue>,
    /// Ground resolution of the imagery that the model was trained on.
    pub ground_resolution_m: GroundResolution,
    /// Image tensor to features.
    pub vision_encoder: VisionEncoderSpec,
    /// Features to image embeddings.
    pub connector: ConnectorSpec,
    /// Tokenizer and prompt format.
    pub language: LanguageSpec,
    /// The decoder graphs by name, each in one or more variants.
    pub decoders: BTreeMap<String, DecoderSpec>,
    /// Which variant an execution provider takes if none is named.
    pub variants: VariantChoice,
    /// The experts and how they are stored.
    pub experts: ExpertsSpec,
    /// Who writes the experts' prompts.
    pub router: RouterSpec,
    /// Who writes brief captions and answers.
    pub captioner: CaptionerSpec,
    /// Defaults of text generation.
    pub generation: GenerationSpec,
    /// How scores become confidences, and when an answer is "not sure"; none: see [`ConfidenceSpec`].
    #[serde(default)]
    pub confidence: Option<ConfidenceSpec>,
    /// Every ONNX graph with its signature as exported.
    pub graphs: BTreeMap<String, GraphSpec>,
    /// Every file of the package but the manifest itself; keys are paths relative to the package.
    pub files: BTreeMap<String, FileSpec>,
}

/// Terms of use of the weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct License {
    /// SPDX identifier.
    pub id: String,
    /// What a user has to know beyond the identifier.
    #[serde(default)]
    pub notice: String,
}

/// One statement about the origin of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ProvenanceValue {
    /// A version or count, such as the opset.
    Number(u64),
    /// Free text.
    Text(String),
}

/// Ground resolution in metres per pixel.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroundResolution {
    /// Finest, metres per pixel.
    pub min: f64,
    /// Coarsest, metres per pixel.
    pub max: f64,
}

/// One ONNX graph: its file, its external weights, its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GraphSpec {
    /// Path of the `.onnx` file, relative to the package.
    pub file: String,
    /// Paths of the external weights that the graph may name, relative to the package.
    #[serde(default)]
    pub data: Vec<String>,
    /// Inputs as exported.
    pub inputs: Vec<TensorSpec>,
    /// Outputs as exported.
    pub outputs: Vec<TensorSpec>,
}

/// What a file must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// Length in bytes.
    pub size: u64,
    /// SHA-256 of the content, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

impl Manifest {
    /// Reads and checks a manifest; `path` is where it stands, for the messages.
    ///
    /// # Errors
    /// [`ManifestError::Parse`], or [`ManifestError::Invalid`] with every contradiction in it.
    pub fn from_yaml(content: &[u8], path: &Path) -> Result<Self, ManifestError> {
        let manifest: Self = serde_yaml::from_slice(content)
            .map_err(|source| ManifestError::Parse { path: path.to_path_buf(), source })?;
        let problems = manifest.problems();
        if problems.is_empty() {
            Ok(manifest)
        } else {
            Err(ManifestError::Invalid { path: path.to_path_buf(), problems })
        }
    }

    /// The JSON Schema of `manifest.yaml`, generated from these types; `schemas/manifest.schema.json` holds a copy.
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }

    /// The variants in which every decoder was built.
    pub fn built_variants(&self) -> Vec<Variant> {
        Variant::ALL
            .into_iter()
            .filter(|variant| self.decoders.values().all(|decoder| decoder.variants.contains_key(variant)))
            .collect()
    }

    /// Files of a graph, as paths relative to the package; none of a graph that is not there.
    pub fn graph_files(&self, graph: &str) -> Vec<&str> {
        let files =
            self.graphs.get(graph).into_iter().flat_map(|spec| std::iter::once(&spec.file).chain(&spec.data));
        files.map(String::as_str).collect()
    }

    /// Files of the connector: its graph, and the tokenizer of a Q-Former.
    pub fn connector_files(&self) -> Vec<&str> {
        let mut files = self.graph_files(self.connector.graph());
        if let ConnectorSpec::Qformer { tokenizer, .. } = &self.connector {
            files.push(tokenizer);
        }
        files
    }

    /// Length of a graph's files, bytes: its weights and little else. 0 for a graph that is not there.
    pub fn graph_bytes(&self, graph: &str) -> u64 {
        self.graph_files(graph).iter().filter_map(|&file| self.files.get(file)).map(|file| file.size).sum()
    }

    /// As [`Manifest::graph_bytes`], for all that a decoder runs in `variant`: its graph, and its full head if it has one.
    pub fn decoder_bytes(&self, decoder: &str, variant: Variant) -> u64 {
        let Some(spec) = self.decoders.get(decoder) else { return 0 };
        let graph = spec.variants.get(&variant).map(|variant| variant.graph.as_str());
        let head = spec.full_head.as_ref().map(|head| head.graph.as_str());
        graph.into_iter().chain(head).map(|graph| self.graph_bytes(graph)).sum()
    }

    /// The output heads' files, draft texts, graphs and tokenizers that a run with `variant` reads, as paths relative to the package.
    pub fn files_in_use(&self, variant: Variant) -> Vec<&str> {
        let mut graphs = vec![self.vision_encoder.graph_of(variant)];
        let mut files = vec![self.language.tokenizer.as_str()];
        files.extend(self.generation.drafts.as_deref());
        files.extend(self.connector_files());
        for decoder in self.decoders.values() {
            graphs.extend(decoder.variants.get(&variant).map(|spec| spec.graph.as_str()));
            graphs.extend(decoder.full_head.as_ref().map(|head| head.graph.as_str()));
            files.extend(decoder.output_ids.as_deref());
        }
        files.extend(graphs.into_iter().flat_map(|name| self.graph_files(name)));
        files.sort_unstable();
        files.dedup();
        files
    }
}
