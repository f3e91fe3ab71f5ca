//! Tokenizer, prompt format and generation defaults.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The language side that all decoders of a package share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LanguageSpec {
    /// Path of the `tokenizer.json`, relative to the package.
    pub tokenizer: String,
    /// Width of embeddings and hidden states.
    pub hidden: usize,
    /// Tokens that end a text.
    pub stop_tokens: Vec<String>,
    /// Positions that a KV cache holds at most.
    pub max_context: usize,
    /// The segments of a conversation.
    pub prompts: PromptSpec,
    /// The instruction of a caption if the user gives none.
    pub caption_instruction: String,
}

/// The token stream's segments. Each is tokenized on its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PromptSpec {
    /// Up to and with the image tokens; once per tile, on the bare base.
    pub prefix: Vec<SegmentTemplate>,
    /// The user's instruction or question; on the bare base.
    pub instruction: Vec<SegmentTemplate>,
    /// Opens a brief caption or an answer.
    pub answer: Vec<SegmentTemplate>,
    /// Opens the router's lines.
    pub router: Vec<SegmentTemplate>,
    /// Holds an expert's prompt and opens its text.
    pub expert: Vec<SegmentTemplate>,
}

/// One piece of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub enum SegmentTemplate {
    /// Text of the package; special tokens in it are recognised.
    Text {
        /// The text.
        text: String,
    },
    /// A place to fill; special tokens in the filling stay plain text.
    Slot {
        /// What goes there.
        slot: Slot,
    },
}

/// What fills a place of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    /// The image tokens.
    Image,
    /// The instruction or question.
    Instruction,
    /// An expert's prompt.
    Prompt,
}

impl Slot {
    /// The name as the manifest spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Instruction => "instruction",
            Self::Prompt => "prompt",
        }
    }
}

/// Defaults of text generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GenerationSpec {
    /// The longest text of each kind.
    pub max_new_tokens: TokenLimits,
    /// Path of a file with texts that this model writes (JSON, see [`DraftTexts`](super::DraftTexts)), relative to the package:
    /// drafts of the next ones, which say the same in fewer steps. None: drafts come from earlier texts and the prompt alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drafts: Option<String>,
}

/// The longest text of each kind, in tokens with the stop token.
pub type NewTokens = usize;

/// Longest texts, in tokens with the stop token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenLimits {
    /// A brief caption.
    pub caption: NewTokens,
    /// The router's lines together.
    pub router: NewTokens,
    /// An expert's text.
    pub expert: NewTokens,
    /// An answer.
    pub answer: NewTokens,
}
