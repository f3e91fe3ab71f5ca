//! On which hardware a graph runs.

use std::fmt;

use ort::ep::{self, ExecutionProviderDispatch};

/// A backend of ONNX Runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExecutionProvider {
    /// The processor; always there.
    Cpu,
    /// NVIDIA GPUs through CUDA.
    Cuda,
    /// NVIDIA GPUs through TensorRT.
    TensorRt,
}

impl ExecutionProvider {
    /// All providers.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Cuda, Self::TensorRt];

    /// The name on the command line and in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
        }
    }

    /// The name inside ONNX Runtime.
    pub(super) fn onnx_runtime_name(self) -> &'static str {
        match self {
            Self::Cpu => "CPUExecutionProvider",
            Self::Cuda => "CUDAExecutionProvider",
            Self::TensorRt => "TensorrtExecutionProvider",
        }
    }

    /// What a session registers for the provider; nothing for the processor, which every session has.
    pub(super) fn dispatch(self) -> Option<ExecutionProviderDispatch> {
        match self {
            Self::Cpu => None,
            Self::Cuda => Some(ep::CUDA::default().build().error_on_failure()),
            Self::TensorRt => Some(ep::TensorRT::default().build().error_on_failure()),
        }
    }
}

impl fmt::Display for ExecutionProvider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What to do if a provider does not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderPolicy {
    /// It was asked for by name: an error if it does not start.
    Require(ExecutionProvider),
    /// The first of these that starts; passing one over is logged as a warning unless the library was built without it.
    Prefer(Vec<ExecutionProvider>),
}

impl ProviderPolicy {
    /// CUDA if it starts, else the processor. TensorRT builds its engines ahead of time and is never chosen by itself.
    pub fn auto() -> Self {
        Self::Prefer(vec![ExecutionProvider::Cuda, ExecutionProvider::Cpu])
    }

    /// The providers to try, in order.
    pub fn candidates(&self) -> &[ExecutionProvider] {
        match self {
            Self::Require(only) => std::slice::from_ref(only),
            Self::Prefer(list) => list,
        }
    }
}

impl Default for ProviderPolicy {
    fn default() -> Self {
        Self::auto()
    }
}
