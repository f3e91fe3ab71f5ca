//! Reading in a process of its own, so that a decoder that crashes or hangs costs one read and not the run.

use std::ffi::OsString;
use std::io::{self, BufReader, Read};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::RasterError;
use super::wire::{self, Request, Response};
use crate::image::Tile;

/// How often a read that goes on is looked after.
const POLL: Duration = Duration::from_millis(50);
/// Readers that a request may cost: the second shows that it was the request, and not something before it.
const ATTEMPTS: usize = 2;

/// How rasters are read apart from this process.
#[derive(Debug, Clone)]
pub struct Isolation {
    /// The program that calls [`serve`](super::serve): this one, as a rule.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Longest wait for one answer.
    pub timeout: Duration,
    /// Once set, reads end at once, with [`RasterError::Interrupted`].
    pub stop: Arc<AtomicBool>,
}

static ISOLATION: OnceLock<Isolation> = OnceLock::new();
/// Readers without a raster, for the next one.
static IDLE: Mutex<Vec<Reader>> = Mutex::new(Vec::new());

/// From now on, [`Raster::open`](super::Raster::open) reads in processes of their own. For the whole process, and once: later calls change nothing.
pub fn isolate(isolation: Isolation) {
    ISOLATION.get_or_init(|| isolation);
}

/// The numbers of the processes that have read rasters and wait for the next one.
pub fn idle_readers() -> Vec<u32> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|reader| reader.child.id()).collect()
}

/// How rasters are to be read, if apart.
pub(super) fn isolation() -> Option<&'static Isolation> {
    ISOLATION.get()
}

/// What comes back of a request.
pub(super) enum Answer {
    /// A tile.
    Tile(Tile),
    /// Anything else.
    Other(Response),
}

/// A raster that another process has open.
pub(super) struct IsolatedRaster {
    path: PathBuf,
    isolation: &'static Isolation,
    /// None after one was lost.
    reader: Option<Reader>,
}

impl IsolatedRaster {
    pub(super) fn new(path: &Path, isolation: &'static Isolation) -> Self {
        Self { path: path.to_path_buf(), isolation, reader: None }
    }

    /// The answer to a request about the raster; it is opened first where the reader has not.
    ///
    /// # Errors
    /// [`RasterError::ReaderCrashed`], [`RasterError::ReaderHung`], [`RasterError::Interrupted`],
    /// [`RasterError::ReaderUnusable`], or why the raster cannot be opened.
    pub(super) fn ask(&mut self, request: &Request) -> Result<Answer, RasterError> {
        let mut ended = String::new();
        for _ in 0..ATTEMPTS {
            match self.ask_once(request)? {
                Ok(answer) => return Ok(answer),
                Err(Loss::Crashed(how)) => ended = how,
                Err(Loss::Hung) => {
                    let (path, seconds) = (self.path.clone(), self.isolation.timeout.as_secs_f64());
                    return Err(RasterError::ReaderHung { path, seconds });
                }
                Err(Loss::Interrupted) => return Err(RasterError::Interrupted { path: self.path.clone() }),
            }
            tracing::debug!(path = %self.path.display(), ended, "reader lost");
        }
        Err(RasterError::ReaderCrashed { path: self.path.clone(), ended })
    }

    fn ask_once(&mut self, request: &Request) -> Result<Result<Answer, Loss>, RasterError> {
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => match self.reopened(request)? {
                Ok(reader) => reader,
                Err(loss) => return Ok(Err(loss)),
            },
        };
        let answer = reader.ask(request, self.isolation);
        // A reader that did not answer is not asked again: it is gone, or ended here.
        if answer.is_ok() {
            self.reader = Some(reader);
        }
        Ok(answer)
    }

    /// A reader that has the raster open, unless `request` is to open it.
    fn reopened(&self, request: &Request) -> Result<Result<Reader, Loss>, RasterError> {
        let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut reader = match idle {
            Some(reader) => reader,
            None => Reader::start(self.isolation).map_err(|source| RasterError::ReaderUnusable {
                path: self.path.clone(),
                program: self.isolation.program.clone(),
                source,
            })?,
        };
        if !matches!(request, Request::Open(_)) {
            match reader.ask(&Request::Open(self.path.clone()), self.isolation) {
                Ok(Answer::Other(Response::Opened(opened))) => {
                    opened?;
                }
                Ok(_) => return Ok(Err(Loss::Crashed("it does not answer as it should".to_owned()))),
                Err(loss) => return Ok(Err(loss)),
            }
        }
        Ok(Ok(reader))
    }
}

impl Drop for IsolatedRaster {
    fn drop(&mut self) {
        // Its raster stays open there until the next one is: that costs a file handle, and nothing has to be waited for.
        if let Some(reader) = self.reader.take() {
            IDLE.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
        }
    }
}

/// Why a reader is gone.
enum Loss {
    /// It ended; how.
    Crashed(String),
    /// It did not answer in time.
    Hung,
    /// Nobody wants its answer any more.
    Interrupted,
}

/// A reader process; killed when it is dropped.
struct Reader {
    child: Child,
    stream: BufReader<UnixStream>,
}

impl Reader {
    fn start(isolation: &Isolation) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(POLL))?;
        let child = Command::new(&isolation.program)
            .args(&isolation.arguments)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // The interrupt key of a terminal is meant for the program, which then ends its readers.
            .process_group(0)
            .spawn()?;
        Ok(Self { child, stream: BufReader::new(ours) })
    }

    fn ask(&mut self, request: &Request, isolation: &Isolation) -> Result<Answer, Loss> {
        match self.exchange(request, isolation) {
            Ok(answer) => Ok(answer),
            Err(error) => Err(match error.kind() {
                io::ErrorKind::TimedOut => Loss::Hung,
                io::ErrorKind::ConnectionAborted => Loss::Interrupted,
                _ => Loss::Crashed(self.end().map_or_else(|| error.to_string(), ended)),
            }),
        }
    }

    fn exchange(&mut self, request: &Request, isolation: &Isolation) -> io::Result<Answer> {
        wire::send(self.stream.get_mut(), request)?;
        let deadline = Instant::now() + isolation.timeout;
        let mut stream = Patient { stream: &mut self.stream, deadline, stop: &isolation.stop };
        match wire::receive(&mut stream)? {
            Response::Tile(Ok(shape)) => wire::receive_samples(&mut stream, shape).map(Answer::Tile),
            other => Ok(Answer::Other(other)),
        }
    }

    /// How the process ended, as far as it did by itself: its end of the socket is closed.
    fn end(&mut self) -> Option<ExitStatus> {
        let _ = self.stream.get_ref().shutdown(Shutdown::Both);
        self.child.wait().ok()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // One that has ended already cannot be killed, and that is well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ended(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("signal {signal}"),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => status.to_string(),
    }
}

/// A stream that is waited for until a deadline ([`io::ErrorKind::TimedOut`]), or until nobody wants to wait any more
/// ([`io::ErrorKind::ConnectionAborted`]).
struct Patient<'a> {
    stream: &'a mut BufReader<UnixStream>,
    deadline: Instant,
    stop: &'a AtomicBool,
}

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(buffer) {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    if self.stop.load(Ordering::Relaxed) {
                        return Err(io::ErrorKind::ConnectionAborted.into());
                    }
                    if Instant::now() >= self.deadline {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
                other => return other,
            }
        }
    }
}
