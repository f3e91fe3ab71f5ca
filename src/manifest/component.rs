//! One struct per kind of component.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{GraphSpec, PreprocessSpec};
use crate::tensor::Dim;

/// Image tensor `[batch, 3, height, width]` to features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VisionEncoderSpec {
    /// Key into [`Manifest::graphs`](super::Manifest::graphs): the graph of every variant that `variants` does not name.
    pub graph: String,
    /// Variants that run a graph of their own, with the same inputs and outputs.
    #[serde(default)]
    pub variants: BTreeMap<Variant, VariantSpec>,
    /// Input: f32 `[batch, 3, height, width]`, normalised.
    pub pixel_values: String,
    /// Output: f32 `[batch, rows, columns, channels]` or `[batch, tokens, channels]`.
    pub features: String,
    /// Output: f32 `[batch]`, `0..=1`, how probable it is that the image is of the kind that the model was trained on, against
    /// black tiles, noise, clouds, photographs; every confidence about the image is scaled by it. None: nothing is scaled.
    ///
    /// `sigmoid(a - b * distance)` of a Mahalanobis distance in feature space (Lee et al., "A Simple Unified Framework for
    /// Detecting Out-of-Distribution Samples and Adversarial Attacks", `NeurIPS` 2018) is what `export/` writes.
    #[serde(default)]
    pub familiarity: Option<String>,
    /// How pixels become the input.
    pub preprocess: PreprocessSpec,
    /// How often an image is looked at, unless the user says otherwise.
    #[serde(default)]
    pub views: Views,
}

impl VisionEncoderSpec {
    /// Key of the graph that `variant` runs.
    pub fn graph_of(&self, variant: Variant) -> &str {
        self.variants.get(&variant).map_or(&self.graph, |own| &own.graph)
    }

    /// True if what is seen in a turned image can be turned back; `graph` is the encoder's.
    pub fn can_turn(&self, graph: &GraphSpec) -> bool {
        let features = graph.outputs.iter().find(|output| output.name == self.features);
        let is_square =
            |shape: &[Dim]| matches!(shape, [_, Dim::Fixed(rows), Dim::Fixed(columns), _] if rows == columns);
        self.preprocess.width == self.preprocess.height
            && features.is_some_and(|output| is_square(&output.shape))
    }
}

/// How often the vision encoder looks at an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Views {
    /// Once.
    #[default]
    Single,
    /// In four quarter turns; the features are turned back and averaged, and so is the familiarity. For a square input and a square
    /// grid of features.
    QuarterTurns,
}

impl Views {
    /// The name as the manifest spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::QuarterTurns => "quarter_turns",
        }
    }
}

/// Features to image embeddings, f32 `[batch, image_tokens, hidden]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum ConnectorSpec {
    /// Grid features are merged and projected; the instruction plays no part.
    Projection {
        /// Key into [`Manifest::graphs`](super::Manifest::graphs).
        graph: String,
        /// Input: the vision encoder's features.
        features: String,
        /// Output: f32 `[batch, image_tokens, hidden]`.
        image_embeddings: String,
        /// Embeddings per image.
        image_tokens: usize,
    },
    /// The Q-Former of `InstructBLIP`: learned queries that also see the instruction's tokens.
    Qformer {
        /// Key into [`Manifest::graphs`](super::Manifest::graphs).
        graph: String,
        /// Input: the vision encoder's features.
        features: String,
        /// Output: f32 `[batch, image_tokens, hidden]`.
        image_embeddings: String,
        /// Embeddings per image: the number of queries.
        image_tokens: usize,
        /// Input: i64 `[batch, length]`, the instruction in the connector's own tokens.
        instruction_ids: String,
        /// Input: i64 `[batch, length]`, 1 for a token and 0 for padding.
        instruction_mask: String,
        /// Path of the connector's own `tokenizer.json`, relative to the package.
        tokenizer: String,
        /// Longer instructions are cut here.
        max_instruction_tokens: usize,
    },
}

impl ConnectorSpec {
    /// Key into [`Manifest::graphs`](super::Manifest::graphs).
    pub fn graph(&self) -> &str {
        match self {
            Self::Projection { graph, .. } | Self::Qformer { graph, .. } => graph,
        }
    }

    /// Name of the input for features.
    pub fn features(&self) -> &str {
        match self {
            Self::Projection { features, .. } | Self::Qformer { features, .. } => features,
        }
    }

    /// Name of the output.
    pub fn image_embeddings(&self) -> &str {
        match self {
            Self::Projection { image_embeddings, .. } | Self::Qformer { image_embeddings, .. } => {
                image_embeddings
            }
        }
    }

    /// Embeddings per image.
    pub fn image_tokens(&self) -> usize {
        match self {
            Self::Projection { image_tokens, .. } | Self::Qformer { image_tokens, .. } => *image_tokens,
        }
    }

    /// The kind as the manifest spells it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Projection { .. } => "projection",
            Self::Qformer { .. } => "qformer",
        }
    }
}

/// A decoder: a whole small language model with an in-place KV cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecoderSpec {
    /// Number of layers, each with one cache for keys and one for values.
    pub layers: usize,
    /// Heads of keys and values.
    pub key_value_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// File of little-endian i32 token ids that the output head may emit, position = logit index; without it the logits
    /// cover the whole vocabulary.
    #[serde(default)]
    pub output_ids: Option<String>,
    /// Size of the tokenizer's id space.
    pub vocabulary: usize,
    /// Low-rank adapters inside the graph; adapter id = 1 + index, 0 is the bare base. Empty: no adapter input.
    #[serde(default)]
    pub adapters: Vec<String>,
    /// Names of the inputs.
    pub inputs: DecoderInputs,
    /// Names of the outputs.
    pub outputs: DecoderOutputs,
    /// The variants that were built.
    pub variants: BTreeMap<Variant, VariantSpec>,
    /// Logits over the whole vocabulary, for words that the shortlist lacks.
    #[serde(default)]
    pub full_head: Option<FullHeadSpec>,
}

impl DecoderSpec {
    /// The id of a row that runs with `adapter`: 0 for none, `None` for an adapter that the decoder lacks.
    pub fn adapter_id(&self, adapter: Option<&str>) -> Option<i64> {
        match adapter {
            None => Some(0),
            Some(name) => self.adapters.iter().position(|own| own == name).map(|index| index as i64 + 1),
        }
    }
}

/// Names of a decoder's inputs; `{layer}` stands for the layer's number from 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecoderInputs {
    /// i64 `[rows, new]`: tokens; a negative id is image token `-(id + 1)` of the flattened image embeddings.
    pub input_ids: String,
    /// f32 `[images, image_tokens, hidden]`.
    pub image_embeddings: String,
    /// i64 `[rows]`: filled positions of each row's cache.
    pub past_lengths: String,
    /// i64 `[reads]`: which of the `rows x new` tokens are read, as row-major indices.
    pub logits_indices: String,
    /// i64 `[rows]`: 0 for the bare base, else 1 + index of the adapter.
    #[serde(default)]
    pub adapter_ids: Option<String>,
    /// f32 `[rows, key_value_heads, capacity, head_dim]`, one per layer.
    pub past_key: String,
    /// f32 `[rows, key_value_heads, capacity, head_dim]`, one per layer.
    pub past_value: String,
}

/// Names of a decoder's outputs; `{layer}` stands for the layer's number from 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecoderOutputs {
    /// i64 `[reads]`: the most probable token, in the tokenizer's ids.
    pub next_ids: String,
    /// f32 `[reads]`: its log-probability among the logits.
    pub next_logprobs: String,
    /// f32 `[reads, logits]`.
    pub logits: String,
    /// f32 `[reads, hidden]`: after the last norm.
    pub hidden: String,
    /// The tensor of `past_key`, bound in place.
    pub present_key: String,
    /// The tensor of `past_value`, bound in place.
    pub present_value: String,
}

/// Which arithmetic the products of decoders use, and of a vision encoder that has a graph for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// Weights and activations in 8 bits, one activation scale per row.
    W8a8,
    /// Weights in 4 bits, activations in float.
    Int4,
    /// 32-bit float: the reference.
    Fp32,
}

impl Variant {
    /// All variants.
    pub const ALL: [Self; 3] = [Self::W8a8, Self::Int4, Self::Fp32];

    /// The name as the manifest spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::W8a8 => "w8a8",
            Self::Int4 => "int4",
            Self::Fp32 => "fp32",
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// One variant of a decoder or of the vision encoder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VariantSpec {
    /// Key into [`Manifest::graphs`](super::Manifest::graphs).
    pub graph: String,
}

/// The output head over the whole vocabulary as a graph of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FullHeadSpec {
    /// Key into [`Manifest::graphs`](super::Manifest::graphs).
    pub graph: String,
    /// Input: f32 `[rows, hidden]`.
    pub hidden: String,
    /// Output: f32 `[rows, vocabulary]`.
    pub logits: String,
}

/// Which variant an execution provider takes if none is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VariantChoice {
    /// For every provider that is not named here.
    pub default: Variant,
    /// For CUDA.
    #[serde(default)]
    pub cuda: Option<Variant>,
    /// For TensorRT.
    #[serde(default)]
    pub tensorrt: Option<Variant>,
}

/// The experts and how they are stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpertsSpec {
    /// Adapters of one graph, or a graph each.
    pub layout: Layout,
    /// The experts in the order in which their texts are merged.
    pub list: Vec<ExpertSpec>,
    /// Name of the expert whose confidence is a full caption's: the one whose texts the package's calibration is fitted on. None,
    /// or if it is not asked: the mean over the experts.
    #[serde(default)]
    pub lead: Option<String>,
}

/// How experts are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Low-rank adapters of one decoder; experts continue from one shared prefix.
    Adapter,
    /// A decoder each.
    Graph,
}

impl Layout {
    /// The name as the manifest spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Adapter => "adapter",
            Self::Graph => "graph",
        }
    }
}

/// One expert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpertSpec {
    /// Name, such as `theme`.
    pub name: String,
    /// The prompt of a fixed router, and of a generative one that did not write one.
    pub prompt: String,
    /// Key into [`Manifest::decoders`](super::Manifest::decoders).
    pub decoder: String,
    /// The decoder's adapter that makes the expert.
    #[serde(default)]
    pub adapter: Option<String>,
}

/// Who writes the experts' prompts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum RouterSpec {
    /// A language model writes one line per expert, from the image and the instruction.
    Generative {
        /// Key into [`Manifest::decoders`](super::Manifest::decoders).
        decoder: String,
        /// The decoder's adapter that makes the router.
        #[serde(default)]
        adapter: Option<String>,
    },
    /// Every expert gets its prompt of the manifest.
    Fixed,
}

/// Who writes brief captions and answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CaptionerSpec {
    /// Key into [`Manifest::decoders`](super::Manifest::decoders).
    pub decoder: String,
    /// The decoder's adapter that makes the captioner; none: the bare base.
    #[serde(default)]
    pub adapter: Option<String>,
}
