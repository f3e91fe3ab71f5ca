//! The command line. `args` is what was typed, `settings` what it means, `output` the only module that prints; one file per command.

mod args;
mod ask;
mod bench;
mod caption;
mod convert;
mod doctor;
mod inputs;
mod merge;
mod model;
mod output;
mod report;
mod scene;
mod settings;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use output::Outcome;
use settings::Settings;

/// Parses the command line, runs the command, reports its error, and gives the exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let settings = Settings::resolve(cli.global);
    output::start_log(settings.quiet, settings.verbose, settings.no_color);
    match run(cli.command, &settings) {
        Ok(outcome) => ExitCode::from(outcome.exit_code()),
        Err(error) => output::report_error(&error),
    }
}

fn run(command: Command, settings: &Settings) -> anyhow::Result<Outcome> {
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
    }
}
