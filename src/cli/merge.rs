//! `rsmoe merge`: the shards of a scene, put together.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::convert::existing;
use super::output::{self, Outcome};
use super::settings::Settings;
use crate::scene::{self, TileCounts, journal_path, tiles};

/// `rsmoe merge`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  rsmoe merge part-1.geojson part-2.geojson part-3.geojson --out captions.gpkg\n  \
    rsmoe merge parts/*.journal --out captions.parquet\n\n\
    Reads the journals alone. All shards must be there, finished, and of the same run; the output is then, byte for \
    byte, that of one run over the whole scene, whatever the formats of the shards."
)]
pub(crate) struct MergeArgs {
    /// Outputs of `rsmoe scene --shard`, beside their journals, in any order
    #[arg(required = true, value_name = "SHARD_OUTPUT")]
    pub(crate) shards: Vec<PathBuf>,
    /// Output; the extension names the format: .geojson, .geojsonl, .gpkg, .fgb, .parquet, .csv
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Replace the output, and its journal, if they are another run's
    #[arg(long)]
    pub(crate) overwrite: bool,
}

pub(crate) fn run(args: &MergeArgs, settings: &Settings) -> anyhow::Result<Outcome> {
    let summary = scene::merge(&args.shards, &args.out, existing(args.overwrite))?;
    let TileCounts { captioned, skipped, failed, .. } = summary.counts;
    if settings.json {
        output::json(&json!({
            "out": args.out, "journal": journal_path(&args.out), "shards": summary.shards, "counts": summary.counts,
        }))?;
    }
    if !settings.quiet {
        output::note(&format!(
            "{} shards: {} captioned, {skipped} skipped, {failed} failed -> {}",
            summary.shards,
            tiles(captioned),
            args.out.display()
        ));
    }
    Ok(Outcome::of_tiles(summary.counts))
}
