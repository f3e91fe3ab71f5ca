//! A loaded graph.

use std::path::Path;
use std::time::Instant;

use ndarray::{ArrayD, ArrayViewD};
use ort::AsPointer as _;
use ort::session::SessionInputValue;
use ort::session::builder::SessionBuilder;
use ort::value::{DynValue, TensorRef};

use super::error::Source;
use super::signature::{found, mismatches};
use super::{ExecutionProvider, ProviderPolicy, RunTime, Runtime, RuntimeError};
use crate::manifest::GraphSpec;

/// One loaded graph whose signature is that of the manifest.
///
/// Running takes `&mut self`: a session is used by one thread at a time.
#[derive(Debug)]
pub struct Session {
    name: String,
    pub(super) inner: ort::session::Session,
    provider: ExecutionProvider,
    pub(super) spent: RunTime,
}

/// A tensor that goes into or comes out of a [`Session::run`].
#[derive(Debug, Clone, PartialEq)]
pub enum Array {
    /// 32-bit floats.
    F32(ArrayD<f32>),
    /// 64-bit integers.
    I64(ArrayD<i64>),
}

impl Array {
    /// The floats, or `None` for another element type.
    pub fn into_f32(self) -> Option<ArrayD<f32>> {
        match self {
            Self::F32(values) => Some(values),
            Self::I64(_) => None,
        }
    }

    /// The lengths of the axes.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::F32(values) => values.shape(),
            Self::I64(values) => values.shape(),
        }
    }
}

impl Session {
    /// Loads the graph `name` from `path`, with the first provider of `policy` that starts.
    ///
    /// # Errors
    /// [`RuntimeError::ProviderMissing`], [`RuntimeError::ProviderFailed`], [`RuntimeError::Load`], or
    /// [`RuntimeError::Signature`] with every difference between the graph and `spec`.
    pub fn load(
        runtime: &Runtime,
        (name, path): (&str, &Path),
        spec: &GraphSpec,
        policy: &ProviderPolicy,
    ) -> Result<Self, RuntimeError> {
        let (inner, provider) = commit(runtime, (name, path), policy)?;
        let inputs: Vec<_> = inner.inputs().iter().map(found).collect();
        let outputs: Vec<_> = inner.outputs().iter().map(found).collect();
        let mut mismatched = mismatches("input", &spec.inputs, &inputs);
        mismatched.extend(mismatches("output", &spec.outputs, &outputs));
        if !mismatched.is_empty() {
            return Err(RuntimeError::Signature { graph: name.to_owned(), mismatches: mismatched });
        }
        Ok(Self { name: name.to_owned(), inner, provider, spent: RunTime::default() })
    }

    /// The graph's name in the manifest.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The provider that really runs the graph.
    pub fn provider(&self) -> ExecutionProvider {
        self.provider
    }

    /// The graph's runs since it was loaded, those of bindings included.
    pub fn spent(&self) -> RunTime {
        self.spent
    }

    /// Runs the graph on named inputs and gives the named outputs, in their order.
    ///
    /// # Errors
    /// [`RuntimeError::Run`], [`RuntimeError::Output`].
    pub fn run(&mut self, inputs: &[(&str, &Array)], outputs: &[&str]) -> Result<Vec<Array>, RuntimeError> {
        let failed =
            |error: ort::Error| RuntimeError::Run { graph: self.name.clone(), source: Box::new(error) };
        let mut values: Vec<(&str, SessionInputValue<'_>)> = Vec::with_capacity(inputs.len());
        for (name, array) in inputs {
            values.push((name, input_value(array).map_err(failed)?));
        }
        let started = Instant::now();
        let results = self.inner.run(values);
        self.spent.count_since(started);
        let results = results
            .map_err(|error| RuntimeError::Run { graph: self.name.clone(), source: Box::new(error) })?;
        outputs
            .iter()
            .map(|&output| match results.get(output) {
                Some(value) => output_array(&self.name, output, value),
                None => Err(wrong_output(&self.name, output, "a tensor", "none")),
            })
            .collect()
    }

    /// As [`Session::run`], for outputs of floats.
    ///
    /// # Errors
    /// Those of [`Session::run`].
    pub fn run_to_all_floats(
        &mut self,
        inputs: &[(&str, &Array)],
        outputs: &[&str],
    ) -> Result<Vec<ArrayD<f32>>, RuntimeError> {
        let arrays = self.run(inputs, outputs)?;
        let floats = |(array, output): (Array, &&str)| {
            array.into_f32().ok_or_else(|| wrong_output(&self.name, output, "f32", "another element type"))
        };
        arrays.into_iter().zip(outputs).map(floats).collect()
    }

    /// As [`Session::run`], for one output of floats.
    ///
    /// # Errors
    /// Those of [`Session::run`].
    pub fn run_to_floats(
        &mut self,
        inputs: &[(&str, &Array)],
        output: &str,
    ) -> Result<ArrayD<f32>, RuntimeError> {
        Ok(self.run_to_all_floats(inputs, &[output])?.swap_remove(0))
    }
}

fn input_value(array: &Array) -> Result<SessionInputValue<'_>, ort::Error> {
    fn shape<T>(values: &ArrayViewD<'_, T>) -> Vec<usize> {
        values.shape().to_vec()
    }
    // Views into standard layout are passed without a copy.
    match array {
        Array::F32(values) => match values.as_slice() {
            Some(slice) => Ok(TensorRef::from_array_view((shape(&values.view()), slice))?.into()),
            None => Ok(ort::value::Tensor::from_array(values.clone())?.into()),
        },
        Array::I64(values) => match values.as_slice() {
            Some(slice) => Ok(TensorRef::from_array_view((shape(&values.view()), slice))?.into()),
            None => Ok(ort::value::Tensor::from_array(values.clone())?.into()),
        },
    }
}

fn output_array(graph: &str, output: &str, value: &DynValue) -> Result<Array, RuntimeError> {
    if let Ok(values) = value.try_extract_array::<f32>() {
        return Ok(Array::F32(values.to_owned()));
    }
    match value.try_extract_array::<i64>() {
        Ok(values) => Ok(Array::I64(values.to_owned())),
        Err(_) => Err(wrong_output(graph, output, "f32 or i64", &value.dtype().to_string())),
    }
}

fn wrong_output(graph: &str, output: &str, expected: &str, found: &str) -> RuntimeError {
    RuntimeError::Output {
        graph: graph.to_owned(),
        output: output.to_owned(),
        expected: expected.to_owned(),
        found: found.to_owned(),
    }
}

/// Creates the session with the first provider of the policy that starts.
fn commit(
    runtime: &Runtime,
    (name, path): (&str, &Path),
    policy: &ProviderPolicy,
) -> Result<(ort::session::Session, ExecutionProvider), RuntimeError> {
    let available = available_providers();
    for &provider in policy.candidates() {
        let required = matches!(policy, ProviderPolicy::Require(_));
        let is_built_in = available.iter().any(|each| each == provider.onnx_runtime_name());
        if !is_built_in && !required {
            tracing::debug!(provider = provider.name(), "not part of the ONNX Runtime library");
            continue;
        }
        if !is_built_in {
            return Err(RuntimeError::ProviderMissing {
                provider,
                library: runtime.library().to_owned(),
                available,
            });
        }
        let loaded =
            with_provider(runtime, provider).and_then(|mut builder| Ok(builder.commit_from_file(path)?));
        match (loaded, provider) {
            (Ok(session), _) => return Ok((session, provider)),
            (Err(source), ExecutionProvider::Cpu) => {
                return Err(RuntimeError::Load { graph: name.to_owned(), path: path.to_owned(), source });
            }
            // A device's provider starts when its first session is made, so a failure there is the provider's.
            (Err(source), _) if required => return Err(RuntimeError::ProviderFailed { provider, source }),
            (Err(source), _) => {
                tracing::warn!(provider = provider.name(), "does not start, another is tried: {source}");
            }
        }
    }
    // A preference that names no provider that is there: the processor always is.
    commit(runtime, (name, path), &ProviderPolicy::Require(ExecutionProvider::Cpu))
}

/// ONNX Runtime's session option for exact integer products on x86-64 processors without VNNI (before Ice Lake and Zen 4): its fast kernel there
/// adds two products in 16 bits, which are too few for uint8 times int8. It copies the weights, and takes a slower kernel, so it is for these alone.
const EXACT_INTEGER_PRODUCTS: (&str, &str) = ("session.x64quantprecision", "1");

/// True if sums of two products may overflow in the processor's kernels for integers.
fn has_inexact_products() -> bool {
    #[cfg(target_arch = "x86_64")]
    return !is_x86_feature_detected!("avx512vnni") && !is_x86_feature_detected!("avxvnni");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

fn with_provider(runtime: &Runtime, provider: ExecutionProvider) -> Result<SessionBuilder, Source> {
    let mut builder = SessionBuilder::new(&runtime.environment)?;
    if has_inexact_products() {
        let (key, value) = EXACT_INTEGER_PRODUCTS;
        builder = builder.with_config_entry(key, value).map_err(ort::Error::<()>::from)?;
    }
    match provider.dispatch() {
        Some(dispatch) => Ok(builder.with_execution_providers([dispatch]).map_err(ort::Error::<()>::from)?),
        None => Ok(builder),
    }
}

/// The providers that the loaded library was built with.
#[expect(unsafe_code, reason = "the list of providers is not part of the crate's safe interface")]
pub(super) fn available_providers() -> Vec<String> {
    let mut names = std::ptr::null_mut();
    let mut count = 0;
    // SAFETY: both pointers are valid for writes; the list is read while it lives and released once, by the function
    // that the interface prescribes.
    unsafe {
        let status = (ort::api().GetAvailableProviders)(&raw mut names, &raw mut count);
        if ort::Error::<()>::result_from_status(status).is_err() || names.is_null() {
            return Vec::new();
        }
        let list = (0..usize::try_from(count).unwrap_or_default())
            .map(|index| std::ffi::CStr::from_ptr(*names.add(index)).to_string_lossy().into_owned())
            .collect();
        let status = (ort::api().ReleaseAvailableProviders)(names, count);
        let _ = ort::Error::<()>::result_from_status(status);
        list
    }
}

impl Session {
    /// True if the provider reads and writes the memory of this process, so that bound tensors need no copies.
    pub(crate) fn runs_on_host(&self) -> bool {
        self.provider == ExecutionProvider::Cpu
    }

    /// Tells sessions apart.
    pub(super) fn address(&self) -> usize {
        self.inner.ptr().addr()
    }

    pub(super) fn pointer(&mut self) -> *mut ort::sys::OrtSession {
        self.inner.ptr_mut()
    }
}
