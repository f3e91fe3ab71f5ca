//! `rsmoe` says what is in remote-sensing imagery: captions and answers from a vision-language mixture of experts, georeferenced, on the
//! machine where the imagery is.
//!
//! [`Engine`] runs a model package on images; [`vision::picture`] turns rasters and pictures into images; [`scene`] runs an engine over a
//! large raster, tile by tile.
//!
//! ```
//! use rsmoe::image::PixelImage;
//! use rsmoe::{CaptionRequest, Engine, EngineOptions};
//!
//! # fn main() -> Result<(), rsmoe::Error> {
//! // A package of 0.7 MB with random weights; `models/rsmoe-mini` is a trained one.
//! let mut engine = Engine::load(&EngineOptions::new("tests/packages/tiny-adapter"))?;
//! let size = engine.input_size();
//! let pixels = ndarray::Array3::zeros((size.height, size.width, 3));
//! let image = PixelImage::try_new(pixels).expect("rows, columns, three bands");
//! for caption in engine.caption(&[image], &CaptionRequest::default())? {
//!     println!("{} ({:.2})", caption.text, caption.confidence);
//!     assert_eq!(caption.experts.len(), 3);
//! }
//! # Ok(())
//! # }
//! ```

// values and arithmetic
pub mod geo;
pub mod image;
pub mod tensor;

// adapters: files, GDAL, Parquet, ONNX Runtime, tokenizers
pub mod manifest;
pub mod raster;
pub mod runtime;
pub mod text;
pub mod vector;

// one model's stages
pub mod generate;
pub mod vision;

// the mixture
pub mod expert;
pub mod merge;
pub mod router;

// metadata for catalogues
pub mod stac;

// one tile, one request
pub mod engine;
pub mod error;

// many tiles
pub mod report;
pub mod scene;

// speed
pub mod bench;

// the command line
#[doc(hidden)]
pub mod cli;

pub use engine::{
    Answer, Caption, CaptionRequest, Engine, EngineOptions, ExpertText, ImageQuestion, Question,
    RouterChoice, Style, Timings,
};
pub use error::{Error, ErrorKind, Result};
pub use expert::MemoryLimit;
