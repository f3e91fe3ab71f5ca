//! The real binary on the tiny packages: what users and their scripts see.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod ask;
mod bad_input;
mod bench;
mod caption;
mod environment;
mod events;
mod full_disk;
mod manual;
mod model;
mod past;
#[path = "../support/mod.rs"]
mod rasters;
mod reader;
mod scene;
mod shards;
mod support;
