//! Many texts about one image to one.

mod caption;

pub use caption::merge_captions;
