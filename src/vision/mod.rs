//! From pixels to what the model sees.

mod connector;
mod encoder;
mod error;
pub mod picture;
mod preprocess;
pub mod preset;
pub mod radiometry;
pub mod resize;
mod turns;

pub use connector::{Connector, ImageEmbeddings, Look};
pub use encoder::{EncoderFiles, Features, Sight, VisionEncoder};
pub use error::VisionError;
pub use preprocess::preprocess;
