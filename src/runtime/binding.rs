//! Tensors that are bound to a graph once and used by many runs.

use std::ffi::{CString, c_char};
use std::fmt::Debug;
use std::time::Instant;

use ort::AsPointer as _;
use ort::memory::{Allocator, MemoryInfo};
use ort::session::IoBinding;
use ort::sys::{OrtIoBinding, OrtStatusPtr, OrtValue};
use ort::value::{PrimitiveTensorElementType, Shape, Tensor, TensorRefMut};

use super::{RuntimeError, Session};

/// A tensor in this process's memory whose place never changes, so that it can stay bound while its values are rewritten.
#[derive(Debug)]
pub(crate) struct HostTensor<T: PrimitiveTensorElementType + Debug> {
    tensor: Tensor<T>,
    shape: Vec<usize>,
}

impl<T: PrimitiveTensorElementType + Debug + Copy + 'static> HostTensor<T> {
    /// A tensor of zeros for the graph named `graph`.
    ///
    /// # Errors
    /// [`RuntimeError::Memory`].
    pub(crate) fn zeros(graph: &str, shape: &[usize]) -> Result<Self, RuntimeError> {
        // `Tensor::new` fills the memory of a host tensor with zeros.
        let tensor = Tensor::new(&Allocator::default(), shape)
            .map_err(|error| memory_error("allocate", graph, byte_length::<T>(shape), error))?;
        Ok(Self { tensor, shape: shape.to_vec() })
    }

    /// The lengths of the axes.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values in row-major order.
    pub(crate) fn values(&self) -> &[T] {
        self.tensor.extract_tensor().1
    }

    /// The values in row-major order, to be rewritten.
    pub(crate) fn values_mut(&mut self) -> &mut [T] {
        self.tensor.extract_tensor_mut().1
    }

    fn bytes(&self) -> usize {
        byte_length::<T>(&self.shape)
    }
}

/// How the runtime binds a value under a name.
type Bind = unsafe extern "system" fn(*mut OrtIoBinding, *const c_char, *const OrtValue) -> OrtStatusPtr;

/// The inputs and outputs of a graph, bound to tensors.
///
/// A run uses the tensors' memory as it is then; on the processor nothing is copied. The tensors must not be touched by
/// another thread while [`Binding::run`] runs; the owner keeps binding and tensors together behind one `&mut`.
#[derive(Debug)]
pub(crate) struct Binding {
    inner: IoBinding,
    graph: String,
    /// Address of the session that the binding was made for.
    session: usize,
    binds: u64,
}

impl Binding {
    /// Binds nothing yet.
    ///
    /// # Errors
    /// [`RuntimeError::Memory`].
    pub(crate) fn new(session: &Session) -> Result<Self, RuntimeError> {
        let graph = session.name().to_owned();
        let inner = session.inner.create_binding().map_err(|error| memory_error("bind", &graph, 0, error))?;
        Ok(Self { inner, graph, session: session.address(), binds: 0 })
    }

    /// Binds an input; one of the same name is replaced.
    pub(crate) fn bind_input<T>(&mut self, name: &str, tensor: &HostTensor<T>) -> Result<(), RuntimeError>
    where
        T: PrimitiveTensorElementType + Debug + Copy + 'static,
    {
        self.binds += 1;
        self.inner
            .bind_input(name, &tensor.tensor)
            .map_err(|error| memory_error("bind", &self.graph, tensor.bytes(), error))
    }

    /// Binds an output; one of the same name is replaced. An input's tensor may be bound too: the graph works in place.
    pub(crate) fn bind_output<T>(
        &mut self,
        name: &str,
        tensor: &mut HostTensor<T>,
    ) -> Result<(), RuntimeError>
    where
        T: PrimitiveTensorElementType + Debug + Copy + 'static,
    {
        self.binds += 1;
        let bytes = tensor.bytes();
        self.inner
            .bind_output(name, &mut tensor.tensor)
            .map_err(|error| memory_error("bind", &self.graph, bytes, error))
    }

    /// Binds the beginning of a tensor's memory as an input of another shape; one of the same name is replaced. The tensor must
    /// live until the last run that reads it.
    ///
    /// # Panics
    /// If the tensor is smaller than the shape.
    pub(crate) fn bind_input_part<T>(
        &mut self,
        name: &str,
        tensor: &mut HostTensor<T>,
        shape: &[usize],
    ) -> Result<(), RuntimeError>
    where
        T: PrimitiveTensorElementType + Debug + Copy + 'static,
    {
        self.bind_part(ort::api().BindInput, (name, shape), tensor)
    }

    /// As [`Binding::bind_input_part`], for an output. The same part may be bound as an input too: the graph works in place.
    ///
    /// # Panics
    /// If the tensor is smaller than the shape.
    pub(crate) fn bind_output_part<T>(
        &mut self,
        name: &str,
        tensor: &mut HostTensor<T>,
        shape: &[usize],
    ) -> Result<(), RuntimeError>
    where
        T: PrimitiveTensorElementType + Debug + Copy + 'static,
    {
        self.bind_part(ort::api().BindOutput, (name, shape), tensor)
    }

    #[expect(
        unsafe_code,
        reason = "`IoBinding` copies a part of a tensor as an input, and refuses it as an output"
    )]
    fn bind_part<T>(
        &mut self,
        bind: Bind,
        (name, shape): (&str, &[usize]),
        tensor: &mut HostTensor<T>,
    ) -> Result<(), RuntimeError>
    where
        T: PrimitiveTensorElementType + Debug + Copy + 'static,
    {
        self.binds += 1;
        let bytes = byte_length::<T>(shape);
        assert!(bytes <= tensor.bytes(), "a part is no larger than the whole");
        let name = CString::new(name).expect("names were compared with those of the graph");
        let lengths = Shape::new(shape.iter().map(|&length| length as i64));
        // SAFETY: the tensor's memory is this process's, long enough, and never moves; the owner keeps it beside the binding.
        // The runtime copies the name and takes a share in the value, which describes the memory without owning it.
        let result = unsafe {
            TensorRefMut::<T>::from_raw(MemoryInfo::default(), tensor.tensor.data_ptr_mut(), lengths)
                .and_then(|part| {
                    let status = bind(self.inner.ptr_mut(), name.as_ptr(), part.ptr());
                    ort::Error::<()>::result_from_status(status)
                })
        };
        result.map_err(|error| memory_error("bind", &self.graph, bytes, error))
    }

    /// How often an input or output was bound.
    pub(crate) fn binds(&self) -> u64 {
        self.binds
    }

    /// Runs the graph on the bound tensors; allocates nothing on this side.
    ///
    /// # Errors
    /// [`RuntimeError::Run`].
    ///
    /// # Panics
    /// If `session` is not the one that the binding was made for.
    #[expect(
        unsafe_code,
        reason = "`Session::run_binding` collects names and values of all outputs on every run"
    )]
    pub(crate) fn run(&mut self, session: &mut Session) -> Result<(), RuntimeError> {
        assert_eq!(self.session, session.address(), "a binding runs on its own session");
        let started = Instant::now();
        // SAFETY: session and binding are alive, the binding was made for this session, null run options are the
        // defaults, and both are borrowed exclusively for the whole run.
        let result = unsafe {
            let status = (ort::api().RunWithBinding)(session.pointer(), std::ptr::null(), self.inner.ptr());
            ort::Error::<()>::result_from_status(status)
        };
        let result = result
            .and_then(|()| if session.runs_on_host() { Ok(()) } else { self.inner.synchronize_outputs() });
        session.spent.count_since(started);
        result.map_err(|error| RuntimeError::Run { graph: self.graph.clone(), source: Box::new(error) })
    }
}

fn byte_length<T>(shape: &[usize]) -> usize {
    shape.iter().product::<usize>() * size_of::<T>()
}

fn memory_error(action: &'static str, graph: &str, bytes: usize, error: ort::Error) -> RuntimeError {
    RuntimeError::Memory { action, graph: graph.to_owned(), bytes, source: Box::new(error) }
}
