//! From pixels to what the model sees.

pub mod picture;
pub mod radiometry;
pub mod resize;
