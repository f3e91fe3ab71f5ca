//! `rsmoe convert`: a scene's captions in another format.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::output::{self, CliError, Outcome};
use super::settings::Settings;
use crate::raster::Acquisition;
use crate::scene::{self, ConvertSummary, Existing, Shard, StacItem, tiles};
use crate::stac::is_stac;

/// `rsmoe convert`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rsmoe convert captions.geojson --out captions.gpkg\n  \
    rsmoe convert captions.geojson.journal --out captions.parquet\n  \
    rsmoe convert captions.geojson --out captions.stac.json --datetime 2026-08-01T10:20:30Z\n\n\
    Reads FILE.journal alone. A run that is not finished gives the tiles that are done, and exit code 3.")]
pub(crate) struct ConvertArgs {
    /// Output of `rsmoe scene`, beside its journal
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Output; the extension names the format: .geojson, .geojsonl, .gpkg, .fgb, .parquet, .csv, or .stac.json
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) item: ItemArgs,
    /// Replace the output if it exists
    #[arg(long)]
    pub(crate) overwrite: bool,
}

/// What a STAC item says that no journal knows.
#[derive(Debug, Args)]
#[command(next_help_heading = "STAC items")]
pub(crate) struct ItemArgs {
    /// When the scene was taken, RFC 3339, or an interval BEGIN/END; default: as its run was told, or else as its file says
    #[arg(long, value_name = "TIME")]
    pub(crate) datetime: Option<Acquisition>,
    /// Where the STAC item of the model is
    #[arg(long, value_name = "HREF")]
    pub(crate) model_item: Option<String>,
    /// Where a STAC item of the scene is; may be repeated
    #[arg(long, value_name = "HREF")]
    pub(crate) derived_from: Vec<String>,
}

pub(crate) fn run(args: &ConvertArgs, settings: &Settings) -> anyhow::Result<Outcome> {
    let summary = write(args)?;
    let done = summary.counts.total();
    if settings.json {
        output::json(&json!({
            "out": args.out, "complete": summary.is_complete(), "shard": summary.shard.to_string(),
            "counts": summary.counts,
        }))?;
    }
    if !settings.quiet {
        output::note(&format!("{} -> {}", tiles(done), args.out.display()));
        if summary.shard != Shard::WHOLE {
            output::note(&format!("note: this is shard {} of a scene", summary.shard));
        }
    }
    if summary.is_complete() {
        return Ok(Outcome::Done);
    }
    output::note(&format!(
        "warning: the run is not finished: {done} of {}; its own command resumes it",
        tiles(summary.total)
    ));
    Ok(Outcome::InPart)
}

/// An item for `.stac.json`, else the captions in another format.
fn write(args: &ConvertArgs) -> anyhow::Result<ConvertSummary> {
    let ItemArgs { datetime, model_item, derived_from } = &args.item;
    let (acquired, model_item, derived_from) = (datetime.clone(), model_item.clone(), derived_from.clone());
    let item = StacItem { acquired, model_item, derived_from };
    let existing = existing(args.overwrite);
    if is_stac(&args.out) {
        return Ok(scene::write_stac(&args.file, &args.out, existing, &item)?);
    }
    if item != StacItem::default() {
        return Err(CliError::usage(
            format!("{}: --datetime, --model-item and --derived-from are for STAC items", args.out.display()),
            "leave them out, or name an output that ends in .stac.json",
        )
        .into());
    }
    Ok(scene::convert(&args.file, &args.out, existing)?)
}

/// What `--overwrite` means.
pub(crate) fn existing(overwrite: bool) -> Existing {
    if overwrite { Existing::Replace } else { Existing::Keep }
}
