//! From pixels to image embeddings.

mod connector;
mod encoder;
mod error;
mod preprocess;

pub use connector::{Connector, ImageEmbeddings, Look};
pub use encoder::{Features, VisionEncoder};
pub use error::VisionError;
pub use preprocess::preprocess;
