//! The real binary on the tiny packages: what users and their scripts see.

mod ask;
mod caption;
mod environment;
mod model;
mod support;
