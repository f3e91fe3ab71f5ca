//! `rsmoe report`: a scene's captions as one page.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::output::{self, Outcome};
use super::settings::Settings;
use crate::report::{self, ReportOptions};
use crate::scene::tiles;

/// `rsmoe report`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rsmoe report captions.geojson --out map.html\n  \
    rsmoe report captions.geojson --raster moved/scene.tif --title \"Harbour, 1 August\" --out map.html\n\n\
    The page needs nothing else: it can be opened from a file, sent, and printed. Of another format: \
    `rsmoe convert captions.gpkg --out captions.geojson` first.")]
pub(crate) struct ReportArgs {
    /// Output of `rsmoe scene`: .geojson or .geojsonl
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The page to write
    #[arg(long, short, value_name = "HTML")]
    pub(crate) out: PathBuf,
    /// The scene, if it is elsewhere than when it was captioned
    #[arg(long, value_name = "RASTER")]
    pub(crate) raster: Option<PathBuf>,
    /// Title of the page; default: the scene's name
    #[arg(long, value_name = "TEXT")]
    pub(crate) title: Option<String>,
}

pub(crate) fn run(args: &ReportArgs, settings: &Settings) -> anyhow::Result<Outcome> {
    let summary = report::write(&ReportOptions {
        source: args.file.clone(),
        out: args.out.clone(),
        raster: args.raster.clone(),
        title: args.title.clone(),
    })?;
    if settings.json {
        output::json(&json!({"out": args.out, "tiles": summary.tiles, "notes": summary.notes}))?;
    }
    if !settings.quiet {
        for text in &summary.notes {
            output::note(&format!("note: {text}"));
        }
        output::note(&format!("{} -> {}", tiles(summary.tiles), args.out.display()));
    }
    Ok(Outcome::Done)
}
