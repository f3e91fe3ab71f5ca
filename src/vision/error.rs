//! What can go wrong between pixels and image embeddings.

use crate::image::ImageError;
use crate::runtime::RuntimeError;
use crate::text::TextError;

/// Pixels cannot be turned into image embeddings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VisionError {
    /// An array does not have the layout that its stage asks for.
    #[error("cannot preprocess the image")]
    Image {
        /// Why.
        #[from]
        source: ImageError,
    },
    /// A graph cannot be loaded or run.
    #[error("cannot encode the image")]
    Runtime {
        /// Why.
        #[from]
        source: RuntimeError,
    },
    /// The connector cannot read the instruction.
    #[error("the connector cannot read the instruction")]
    Text {
        /// Why.
        #[from]
        source: TextError,
    },
    /// Image embeddings that are not numbers.
    #[error("the image embeddings of image {image} hold a value that is not finite")]
    NotFinite {
        /// Index in the batch.
        image: usize,
    },
    /// A familiarity that is no probability.
    #[error("the familiarity of image {image}: expected a number from 0 to 1, found {found}")]
    Familiarity {
        /// Index in the batch.
        image: usize,
        /// What the vision encoder gave.
        found: f32,
    },
    /// Quarter turns of what is not square.
    #[error(
        "the vision encoder cannot look at quarter turns: its input or its grid of features is not square"
    )]
    CannotTurn,
    /// An output of another shape than the manifest says.
    #[error("{output}: expected shape {expected:?}, found {found:?}")]
    Shape {
        /// What it is.
        output: &'static str,
        /// Its shape by the manifest: `[batch, image_tokens, hidden]` of image embeddings, `[batch]` of familiarity.
        expected: Vec<usize>,
        /// What the graph gave.
        found: Vec<usize>,
    },
}
