//! The one place that writes to stdout and stderr.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use serde::Serialize;

use super::events::{Event, LogEvents, Speech};
use super::inputs::message;
use super::settings::Settings;
use crate::bench::BenchError;
use crate::error::{Error, ErrorKind};
use crate::report::ReportError;
use crate::scene::{SceneError, TileCounts};

/// An error that only the command line can see.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct CliError {
    kind: ErrorKind,
    /// What is wrong, and where.
    message: String,
    /// What to do about it.
    hint: String,
}

impl CliError {
    /// A command line that parses but makes no sense.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message, hint)
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: hint.into() }
    }
}

/// How a command ended, as far as no error ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything that was asked for.
    Done,
    /// Some inputs or tiles failed; each is recorded.
    InPart,
    /// None of the inputs could be read; each is recorded.
    NothingRead,
    /// Interrupted; the same command resumes.
    Interrupted,
    /// The result itself says what is wrong, as `doctor` does.
    Problem(ErrorKind),
}

impl Outcome {
    /// The exit code of the command line's contract.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::InPart => ErrorKind::Partial.exit_code(),
            Self::NothingRead => ErrorKind::InvalidInput.exit_code(),
            Self::Interrupted => ErrorKind::Interrupted.exit_code(),
            Self::Problem(kind) => kind.exit_code(),
        }
    }

    /// The outcome of `failed` failures among `total` inputs.
    pub(crate) fn of_inputs(failed: usize, total: usize) -> Self {
        match failed {
            0 => Self::Done,
            n if n == total => Self::NothingRead,
            _ => Self::InPart,
        }
    }

    /// The outcome of a scene whose tiles went so; skipped ones were left out on purpose.
    pub(crate) fn of_tiles(counts: TileCounts) -> Self {
        match (counts.captioned, counts.failed) {
            (_, 0) => Self::Done,
            (0, _) if counts.skipped == 0 => Self::NothingRead,
            _ => Self::InPart,
        }
    }
}

/// Writes a line of results to stdout. A reader that went away ends the program quietly, as `head` expects.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(anyhow::Error::from)
}

/// A model's text on one line, whatever white space it wrote.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Writes a value to stdout as one line of JSON.
pub(crate) fn json_line(value: &impl Serialize) -> anyhow::Result<()> {
    line(&serde_json::to_string(value)?)
}

/// Writes a value to stdout as readable JSON.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(value)?)
}

/// Writes a note to stderr.
pub(crate) fn note(text: &str) {
    // Where nobody listens any more, nobody can be told so.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Writes an event to stderr.
pub(crate) fn event(event: &Event<'_>) {
    note(&serde_json::to_string(event).expect("an event is plain data"));
}

/// Reports an error on stderr, cause by cause, with its hint, and gives the exit code.
pub(crate) fn report_error(error: &anyhow::Error, speech: Speech) -> ExitCode {
    let broken_pipe = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
    if error.downcast_ref::<io::Error>().is_some_and(broken_pipe) {
        return ExitCode::SUCCESS;
    }
    let (kind, hint) = kind_and_hint(error);
    match speech {
        Speech::Words => note(&error_text(error, hint.as_deref())),
        Speech::Events => {
            let (message, hint) = (message(error.as_ref()), hint.as_deref());
            event(&Event::Error { kind: kind.name(), message: &message, hint });
        }
    }
    ExitCode::from(kind.exit_code())
}

fn error_text(error: &anyhow::Error, hint: Option<&str>) -> String {
    let mut text = format!("error: {error}");
    for cause in error.chain().skip(1) {
        text.push_str(&format!("\n  cause: {cause}"));
    }
    if let Some(hint) = hint {
        text.push_str(&format!("\nhint: {hint}"));
    }
    text
}

/// What an error means, and what to do about it; an error that nobody foresaw is a fault of the program.
pub(crate) fn kind_and_hint(error: &anyhow::Error) -> (ErrorKind, Option<String>) {
    let known = error.chain().find_map(|cause| {
        cause
            .downcast_ref::<CliError>()
            .map(|error| (error.kind, Some(error.hint.clone())))
            .or_else(|| cause.downcast_ref::<SceneError>().map(|error| (error.kind(), error.hint())))
            .or_else(|| cause.downcast_ref::<BenchError>().map(|error| (error.kind(), error.hint())))
            .or_else(|| cause.downcast_ref::<ReportError>().map(|error| (error.kind(), error.hint())))
            .or_else(|| cause.downcast_ref::<Error>().map(|error| (error.kind(), error.hint())))
    });
    known.unwrap_or((ErrorKind::Internal, None))
}

/// Sends the library's diagnostics to stderr: errors with `--quiet`, else warnings, more with `-v`.
pub(crate) fn start_log(settings: &Settings, speech: Speech) {
    let level = match (settings.quiet, settings.verbose) {
        (true, _) => tracing::Level::ERROR,
        (_, 0) => tracing::Level::WARN,
        (_, 1) => tracing::Level::INFO,
        (_, 2) => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    };
    let color = !settings.no_color && std::env::var_os("NO_COLOR").is_none() && io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr);
    match speech {
        Speech::Words => log.with_ansi(color).without_time().with_target(settings.verbose > 1).init(),
        Speech::Events => log.event_format(LogEvents).init(),
    }
}
