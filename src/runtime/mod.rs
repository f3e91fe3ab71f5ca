//! ONNX Runtime: the library, the process-wide environment, sessions with checked signatures, bound tensors.
//!
//! The only directory that names the `ort` crate.

mod binding;
mod environment;
mod error;
mod library;
mod provider;
mod run_time;
mod session;
mod signature;

pub(crate) use binding::{Binding, HostTensor};
pub use environment::{Runtime, RuntimeOptions};
pub use error::RuntimeError;
pub use library::find_library;
pub use provider::{ExecutionProvider, ProviderPolicy};
pub use run_time::RunTime;
pub use session::{Array, Session};
