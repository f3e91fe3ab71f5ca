//! Drafts: tokens that are likely to come, guessed from texts, so that one step can check several at once.
//!
//! What is guessed decides how many steps a text takes, never what it says: a step keeps a drafted token only where the
//! model's own choice is the same.

mod acceptance;
mod index;
mod source;

pub(super) use acceptance::step_width;
pub(super) use source::{Draft, context_of};
pub use source::{DraftSource, Drafting};
