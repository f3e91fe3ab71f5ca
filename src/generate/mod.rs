//! From a prompt to a text: decoders, their KV caches, greedy decoding, scored choices.
//!
//! A [`Decoder`] is a loaded graph. A [`DecodeBatch`] is the state of several sequences that run together: their KV cache
//! and the tensors that are bound to the graph. Prompts go in by [`Decoder::extend`], texts come out of
//! [`Decoder::greedy`], choices are rated by [`Decoder::score`]. A row's results do not depend on the other rows.

mod batch;
mod compaction;
mod counters;
mod decoder;
mod drafts;
mod error;
mod generation;
mod greedy;
mod kv_cache;
mod open;
mod params;
mod prefill;
mod score;
mod step;
mod writing;

pub use batch::DecodeBatch;
pub use compaction::Afterwards;
pub use counters::DecoderCounters;
pub use decoder::{Decoder, DecoderFiles};
pub use drafts::{DraftSource, Drafting};
pub use error::GenerationError;
pub use generation::{FinishReason, Generation};
pub use kv_cache::{KvCache, capacity_for, row_bytes};
pub use params::GenerationParams;
pub use prefill::Segment;
pub use score::choice_probabilities;
pub use writing::{Texts, Writing};
