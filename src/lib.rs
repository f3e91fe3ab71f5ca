//! `rsmoe` says what is in remote-sensing imagery.

// values and arithmetic
pub mod geo;
pub mod image;
pub mod tensor;

// adapters: files, ONNX Runtime, tokenizers
pub mod manifest;
pub mod runtime;
pub mod text;

// one model's stages
pub mod generate;
pub mod vision;

// the mixture
pub mod expert;
pub mod merge;
pub mod router;

// one tile, one request
pub mod engine;
pub mod error;

pub use engine::{
    Answer, Caption, CaptionRequest, Engine, EngineOptions, ExpertText, Question, Style, Timings,
};
pub use error::{Error, ErrorKind, Result};
