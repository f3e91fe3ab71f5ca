//! The model side through the public interface, on the tiny packages of `tests/packages` (random weights, well under 1 MB,
//! written by `python -m rsmoe_export tiny tests/packages`). Offline; needs the ONNX Runtime library, which `make` puts into
//! `./.ort` and `ORT_DYLIB_PATH` may name.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a test that panics is a test that fails; helpers take what their callers have at hand"
)]

mod ablations;
mod confidence;
mod damage;
mod golden;
mod invariants;
mod processes;
mod providers;
mod questions;
mod residency;
mod schema;
mod speculation;
mod support;
mod tokens;
mod views;
mod work;
