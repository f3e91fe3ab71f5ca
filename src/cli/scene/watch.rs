//! What is seen of a run while it goes on, on stderr: a bar and notes for people, events for programs.

use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use crate::cli::events::Event;
use crate::cli::output;
use crate::cli::settings::Settings;
use crate::error::ErrorKind;
use crate::scene::{Progress, SceneEvent, ScenePlan, TileOutcome, journal_path};

/// Least time between two events of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Speaks on stderr as `--quiet` and `--json` want it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Voice {
    is_quiet: bool,
    speaks_json: bool,
}

impl Voice {
    pub(super) fn of(settings: &Settings) -> Self {
        Self { is_quiet: settings.quiet, speaks_json: settings.json }
    }

    /// An event for programs; people read other words.
    pub(super) fn event(self, event: &Event<'_>) {
        if self.speaks_json && !self.is_quiet {
            output::event(event);
        }
    }

    pub(super) fn note(self, message: &str) {
        self.say(message, &Event::Note { message });
    }

    pub(super) fn warning(self, message: &str) {
        self.say(&format!("warning: {message}"), &Event::Warning { message });
    }

    /// Something for people alone: programs have it from other events.
    pub(super) fn note_to_people(self, message: &str) {
        if !self.speaks_json && !self.is_quiet {
            output::note(message);
        }
    }

    /// Is said to the quiet, too.
    pub(super) fn error(self, kind: ErrorKind, message: &str, hint: &str) {
        if self.speaks_json {
            output::event(&Event::Error { kind: kind.name(), message, hint: Some(hint) });
        } else {
            output::note(&format!("error: {message}\nhint: {hint}"));
        }
    }

    fn say(self, words: &str, event: &Event<'_>) {
        self.event(event);
        self.note_to_people(words);
    }
}

/// Follows a run.
pub(super) struct Watch {
    voice: Voice,
    bar: Bar,
    last_progress: Option<Instant>,
}

impl Watch {
    pub(super) fn new(voice: Voice) -> Self {
        let is_shown = !voice.is_quiet && !voice.speaks_json && std::io::stderr().is_terminal();
        Self { voice, bar: Bar::new(is_shown), last_progress: None }
    }

    /// Tells what happens.
    pub(super) fn tell(&mut self, event: &SceneEvent<'_>, out: &Path) {
        match event {
            SceneEvent::Started { plan, resumed, total } => {
                self.voice.event(&Event::Started {
                    out: out.display().to_string(),
                    journal: journal_path(out).display().to_string(),
                    total: *total,
                    resumed: *resumed,
                    run: &plan.facts,
                });
                warn(plan, self.voice);
                self.bar.start(*resumed, *total);
            }
            SceneEvent::TileFailed { id, record } => {
                if let TileOutcome::Failed { reason } = &record.outcome {
                    self.voice.event(&Event::TileFailed { id, window: record.window, reason });
                }
            }
            SceneEvent::BatchDone { progress } => {
                self.bar.advance(progress);
                let is_due = self.last_progress.is_none_or(|last| last.elapsed() >= PROGRESS_INTERVAL);
                if is_due || progress.done == progress.total {
                    self.voice.event(&Event::Progress(*progress));
                    self.last_progress = Some(Instant::now());
                }
            }
        }
    }

    pub(super) fn finish(&self) {
        self.bar.0.finish_and_clear();
    }
}

/// What a user should know before a long run, once.
pub(super) fn warn(plan: &ScenePlan, voice: Voice) {
    if let Some(preset) = &plan.facts.preset {
        voice.note(&format!("preset: {preset}"));
    }
    if let Some(warning) = &plan.radiometry_warning {
        voice.warning(warning);
    }
    if let [first, .., last] = plan.subdatasets.as_slice() {
        voice.note(&format!(
            "note: the file holds {} rasters and this run does one; name another in place of the file: '{first}' to '{last}'",
            plan.subdatasets.len()
        ));
    }
    if let Some(reason) = &plan.missing_place {
        voice.warning(&format!("{reason}: tiles have pixel windows, but no place on the globe"));
    }
    if let Some(basis) = plan.approximate_place {
        voice.warning(&format!("the scene has {basis} only: places are approximate"));
    }
    if let Some(warning) = plan.facts.resolution_warning() {
        voice.warning(&warning);
        let trained = plan.facts.model.trained_gsd_m.min;
        if plan.facts.input_gsd_m.is_some_and(|metres| metres < trained) {
            let side = trained * plan.input.width as f64;
            voice.note(&format!("hint: larger tiles show more ground at once: --tile-size {side:.0}m"));
        }
    }
}

/// The bar on a terminal: tiles, tiles per second, time left. Nothing elsewhere.
struct Bar(ProgressBar);

impl Bar {
    fn new(is_shown: bool) -> Self {
        let bar = if is_shown { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{bar:32} {pos}/{len} tiles{prefix}{msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self(bar)
    }

    fn start(&self, resumed: usize, total: usize) {
        self.0.set_length(total as u64);
        self.0.set_position(resumed as u64);
        if resumed > 0 {
            self.0.set_prefix(format!(" ({resumed} resumed)"));
        }
    }

    fn advance(&self, progress: &Progress) {
        self.0.set_position(progress.done as u64);
        if let (Some(rate), Some(seconds)) = (progress.tiles_per_s, progress.seconds_left) {
            let left = HumanDuration(Duration::from_secs(seconds as u64));
            self.0.set_message(format!(", {rate:.2} tiles/s, {left} left"));
        }
    }
}
