//! The command line. `args` is what was typed, `settings` what it means, `output` the only module that prints; one file per command.

mod args;
mod ask;
mod bench;
mod caption;
mod convert;
mod doctor;
mod events;
mod inputs;
mod manual;
mod merge;
mod model;
mod output;
mod report;
mod scene;
mod settings;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{ColorChoice, CommandFactory, FromArgMatches};
use signal_hook::consts::SIGXFSZ;

use args::{Cli, Command};
use events::Speech;
use output::Outcome;
use settings::Settings;

pub use events::scene_event_schema;

use crate::raster;

/// Parses the command line, runs the command, reports its error, and gives the exit code.
pub fn main() -> ExitCode {
    let cli = parse();
    let speech = Speech::of(&cli);
    let settings = Settings::resolve(cli.global);
    output::start_log(&settings, speech);
    // A limit on the size of files is an error of the write that meets it, as a full disk is, and not the end of the program.
    if let Err(error) = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))) {
        tracing::debug!(%error, "limits on the size of files end the program");
    }
    match run(cli.command, &settings) {
        Ok(outcome) => ExitCode::from(outcome.exit_code()),
        Err(error) => output::report_error(&error, speech),
    }
}

/// Parses the command line. Its own errors and help come before any option is known, `--no-color` too.
fn parse() -> Cli {
    let is_plain = std::env::args_os().any(|argument| argument == "--no-color");
    let color = if is_plain { ColorChoice::Never } else { ColorChoice::Auto };
    let matches = Cli::command().color(color).get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

fn run(command: Command, settings: &Settings) -> anyhow::Result<Outcome> {
    // A reader reads itself.
    if !matches!(command, Command::ReadRasters) {
        settings.settle_reader()?;
    }
    match command {
        Command::Caption(args) => caption::run(&args, settings),
        Command::Ask(args) => ask::run(&args, settings),
        Command::Scene(args) => scene::run(&args, settings),
        Command::Merge(args) => merge::run(&args, settings),
        Command::Convert(args) => convert::run(&args, settings),
        Command::Report(args) => report::run(&args, settings),
        Command::Model(command) => model::run(&command, settings),
        Command::Bench(args) => bench::run(&args, settings),
        Command::Doctor => doctor::run(settings),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { directory } => manual::pages(&directory),
        Command::ReadRasters => {
            raster::serve()?;
            Ok(Outcome::Done)
        }
    }
}
