//! What `rsmoe scene --json` says on stderr: events, one JSON object a line. The JSON Schema in `schemas/scene-event.schema.json` is
//! generated from these types.

use std::fmt::{self, Write as _};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::args::{Cli, Command};
use crate::geo::Window;
use crate::scene::{Progress, RunEnd, RunFacts, TileCounts};

/// How the program speaks on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    /// To people.
    Words,
    /// To programs.
    Events,
}

impl Speech {
    /// As the command line asks for.
    pub(crate) fn of(cli: &Cli) -> Self {
        if cli.global.json && matches!(cli.command, Command::Scene(_)) { Self::Events } else { Self::Words }
    }
}

/// A line of stderr. New members, and new events, may come with later versions.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
#[schemars(title = "SceneEvent")]
pub(crate) enum Event<'a> {
    /// The model is loaded and the scene settled; tiles follow. Once, before all progress.
    Started {
        /// The file that will hold the output.
        out: String,
        /// The file that holds every finished tile.
        journal: String,
        /// Tiles of this run's shard.
        total: usize,
        /// Of them, those that earlier runs have done.
        resumed: usize,
        /// What the run does and with which settings: scene, model, bands, stretch, grid, questions, as in the member `rsmoe` of a
        /// GeoJSON output.
        #[schemars(with = "serde_json::Map<String, Value>")]
        run: &'a RunFacts,
    },
    /// Tiles are done, and safe in the journal. At most ten a second, and once for the last of them.
    Progress(Progress),
    /// A tile failed; the run goes on.
    TileFailed {
        /// Its identity in the output.
        id: &'a str,
        /// Its pixels.
        window: Window,
        /// Why.
        reason: &'a str,
    },
    /// What is good to know.
    Note {
        /// In words.
        message: &'a str,
    },
    /// What should be looked at.
    Warning {
        /// In words.
        message: &'a str,
    },
    /// The run ended, and what is done is written. Once; after an error it does not come.
    Finished {
        /// Complete, interrupted (nothing is written but the journal), or out of time.
        end: RunEnd,
        /// The output.
        out: String,
        /// How the tiles went, earlier runs included.
        counts: TileCounts,
        /// Tiles that earlier runs had done.
        resumed: usize,
        /// Tiles that are left.
        not_reached: usize,
        /// From the loaded model to the written output.
        seconds: f64,
    },
    /// Why the exit code is not 0: the run cannot go on, or some of its tiles failed.
    Error {
        /// What it means: `usage`, `partial`, `invalid_input`, `model_package`, `provider_unavailable`, `internal` or `interrupted`.
        kind: &'static str,
        /// What is wrong, and where, with its causes.
        message: &'a str,
        /// What to do about it.
        hint: Option<&'a str>,
    },
}

/// The JSON Schema of a line.
pub fn scene_event_schema() -> Value {
    schemars::schema_for!(Event<'static>).to_value()
}

/// The library's diagnostics as events: warnings, and what `-v` adds as notes.
pub(super) struct LogEvents;

impl<S, N> FormatEvent<S, N> for LogEvents
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        logged: &tracing::Event<'_>,
    ) -> fmt::Result {
        let mut words = Words::default();
        logged.record(&mut words);
        let message = format!("{}{}", words.message, words.fields);
        let event = if *logged.metadata().level() <= tracing::Level::WARN {
            Event::Warning { message: &message }
        } else {
            Event::Note { message: &message }
        };
        writeln!(writer, "{}", serde_json::to_string(&event).map_err(|_| fmt::Error)?)
    }
}

/// A diagnostic as a sentence, and its fields behind it.
#[derive(Default)]
struct Words {
    message: String,
    fields: String,
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // A String takes everything.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A place that several writers write to.
    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn diagnostics_are_events_on_a_line_of_their_own() {
        let written = Shared::default();
        let place = written.clone();
        let log = tracing_subscriber::fmt()
            .event_format(LogEvents)
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(move || place.clone())
            .finish();
        tracing::subscriber::with_default(log, || {
            tracing::warn!(provider = "cuda", "falls back to\n\"cpu\"");
            tracing::info!("loaded");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!((&lines[0]["event"], &lines[1]["event"]), (&"warning".into(), &"note".into()));
        assert_eq!(lines[0]["message"], "falls back to\n\"cpu\" provider=\"cuda\"");
    }
}
