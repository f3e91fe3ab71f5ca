//! ONNX Runtime as it was started: once per process, with one thread pool for all sessions.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ort::environment::GlobalThreadPoolOptions;
use ort::logging::LogLevel;

use super::{ExecutionProvider, RuntimeError, find_library};

/// Threads of the pool at most; more only wait for each other.
const MAX_THREADS: usize = 256;

/// How to start ONNX Runtime.
#[derive(Debug, Clone, Default)]
pub struct RuntimeOptions {
    /// The library; none: searched for by [`find_library`].
    pub library: Option<PathBuf>,
    /// Threads of the process-wide pool; none: as many as the process may use.
    pub threads: Option<NonZeroUsize>,
}

/// ONNX Runtime, loaded and started.
///
/// A process has one library and one thread pool (private pools of several sessions get in each other's way), so the
/// first start decides and later ones get the same.
#[derive(Debug)]
pub struct Runtime {
    pub(super) environment: ort::environment::Environment,
    library: PathBuf,
    threads: usize,
}

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
static STARTING: Mutex<()> = Mutex::new(());

impl Runtime {
    /// Starts ONNX Runtime, or gives the one that runs already.
    ///
    /// # Errors
    /// [`RuntimeError::LibraryNotFound`], [`RuntimeError::LibraryUnusable`], [`RuntimeError::Start`].
    pub fn start(options: &RuntimeOptions) -> Result<&'static Self, RuntimeError> {
        let guard = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = RUNTIME.get() {
            runtime.compare(options);
            return Ok(runtime);
        }
        let library = find_library(options.library.as_deref())?;
        let threads = options
            .threads
            .or_else(|| std::thread::available_parallelism().ok())
            .map_or(1, NonZeroUsize::get);
        let started = start_environment(&library, threads)?;
        let runtime = RUNTIME.get_or_init(|| started);
        drop(guard);
        Ok(runtime)
    }

    /// The library in use.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// Threads of the pool that all sessions share.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// What the library says about its build, such as version and flags.
    pub fn build_info(&self) -> &'static str {
        ort::info()
    }

    /// The providers that the library was built with; whether one starts is known when a session is loaded.
    pub fn providers(&self) -> Vec<ExecutionProvider> {
        let available = self.provider_names();
        ExecutionProvider::ALL
            .into_iter()
            .filter(|provider| available.iter().any(|name| name == provider.onnx_runtime_name()))
            .collect()
    }

    /// All providers that the library was built with, by their names inside ONNX Runtime.
    pub fn provider_names(&self) -> Vec<String> {
        super::session::available_providers()
    }

    fn compare(&self, options: &RuntimeOptions) {
        if let Some(threads) = options.threads
            && threads.get() != self.threads
        {
            tracing::warn!(
                running = self.threads,
                asked = threads.get(),
                "ONNX Runtime runs already; its number of threads stays"
            );
        }
        if let Some(asked) = &options.library
            && asked.canonicalize().ok().as_ref() != Some(&self.library)
        {
            tracing::warn!(
                running = %self.library.display(),
                asked = %asked.display(),
                "ONNX Runtime runs already; its library stays"
            );
        }
    }
}

fn start_environment(library: &Path, threads: usize) -> Result<Runtime, RuntimeError> {
    let builder = ort::init_from(library).map_err(|error| RuntimeError::LibraryUnusable {
        path: library.to_owned(),
        source: Box::new(error),
    })?;
    let asked = threads;
    let threads = asked.min(MAX_THREADS);
    if threads < asked {
        tracing::warn!(asked, threads, "fewer threads than asked for");
    }
    let start = |error: ort::Error| RuntimeError::Start { path: library.to_owned(), source: Box::new(error) };
    let pool = GlobalThreadPoolOptions::default()
        .with_intra_threads(threads)
        .and_then(|pool| pool.with_inter_threads(1))
        .map_err(start)?;
    let environment = builder
        .with_name("rsmoe")
        .with_telemetry(false)
        .with_global_thread_pool(pool)
        .with_logger(Arc::new(log))
        .build()
        .map_err(start)?;
    environment.set_log_level(LogLevel::Warning);
    tracing::debug!(library = %library.display(), threads, "ONNX Runtime started");
    Ok(Runtime { environment, library: library.to_owned(), threads })
}

/// Hands a message of ONNX Runtime to `tracing`; nothing goes to the terminal by itself.
fn log(level: LogLevel, category: &str, id: &str, location: &str, message: &str) {
    match level {
        LogLevel::Verbose => tracing::trace!(target: "onnxruntime", category, id, location, "{message}"),
        LogLevel::Info => tracing::debug!(target: "onnxruntime", category, id, location, "{message}"),
        LogLevel::Warning => tracing::warn!(target: "onnxruntime", category, id, location, "{message}"),
        LogLevel::Error | LogLevel::Fatal => {
            tracing::error!(target: "onnxruntime", category, id, location, "{message}");
        }
    }
}
