//! `rsmoe completions` and `rsmoe man`: both made of what `args` says.

use std::fs;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use super::args::Cli;
use super::output::{self, CliError, Outcome};
use crate::error::ErrorKind;

/// The name that is completed.
const PROGRAM: &str = "rsmoe";

pub(crate) fn completions(shell: Shell) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), PROGRAM, &mut script);
    output::line(String::from_utf8(script)?.trim_end())?;
    Ok(Outcome::Done)
}

pub(crate) fn pages(directory: &Path) -> anyhow::Result<Outcome> {
    fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
        .map_err(|error| {
            CliError::new(
                ErrorKind::Usage,
                format!("{}: the manual pages cannot be written: {error}", directory.display()),
                "name a directory that may be written to",
            )
        })?;
    Ok(Outcome::Done)
}
