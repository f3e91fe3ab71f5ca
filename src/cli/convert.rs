//! `rsmoe convert`: a scene's captions in another format.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::output::{self, Outcome};
use super::settings::Settings;
use crate::scene::{self, Existing, Shard};

/// `rsmoe convert`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rsmoe convert captions.geojson --out captions.gpkg\n  \
    rsmoe convert captions.geojson.journal --out captions.parquet\n\n\
    Reads FILE.journal alone. A run that is not finished gives the tiles that are done, and exit code 3.")]
pub(crate) struct ConvertArgs {
    /// Output of `rsmoe scene`, beside its journal
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Output; the extension names the format: .geojson, .geojsonl, .gpkg, .fgb, .parquet, .csv
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Replace the output if it exists
    #[arg(long)]
    pub(crate) overwrite: bool,
}

pub(crate) fn run(args: &ConvertArgs, settings: &Settings) -> anyhow::Result<Outcome> {
    let summary = scene::convert(&args.file, &args.out, existing(args.overwrite))?;
    let done = summary.counts.total();
    if settings.json {
        output::json(&json!({
            "out": args.out, "complete": summary.is_complete(), "shard": summary.shard.to_string(),
            "counts": summary.counts,
        }))?;
    }
    if !settings.quiet {
        output::note(&format!("{done} tiles -> {}", args.out.display()));
        if summary.shard != Shard::WHOLE {
            output::note(&format!("note: this is shard {} of a scene", summary.shard));
        }
    }
    if summary.is_complete() {
        return Ok(Outcome::Done);
    }
    output::note(&format!(
        "warning: the run is not finished: {done} of {} tiles; its own command resumes it",
        summary.total
    ));
    Ok(Outcome::InPart)
}

/// What `--overwrite` means.
pub(crate) fn existing(overwrite: bool) -> Existing {
    if overwrite { Existing::Replace } else { Existing::Keep }
}
