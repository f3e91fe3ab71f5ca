//! `rsmoe bench`: speed on this machine, as a table or JSON.

use std::num::NonZeroUsize;

use clap::{Args, ValueEnum};

use super::output::{self, Outcome};
use super::settings::Settings;
use crate::bench::{self, BenchOptions, BenchReport, Cost, Lengths, Situation, Spread};
use crate::expert::MemoryLimit;

/// `rsmoe bench`.
#[derive(Debug, Args)]
#[command(after_help = "\
Pictures are made in code. Without --natural, every package does the same work: 52 tokens of prefix and instruction, 24 tokens by \
the router, 12 tokens of prompt and 24 of text for each expert; a scene has 64 tiles. What is then written means nothing.\n\n\
Figures are medians over the repeats, with the smallest and the largest, after one that is not counted. One image goes from a file \
to its text, a scene from a raster to an output file. The roofline is what the decode steps had to read (a decoder's weight files \
once a step, and the filled cache) over the memory bandwidth measured in the same run.")]
pub(crate) struct BenchArgs {
    /// What to measure
    #[arg(long, value_enum, default_value_t = WorkArg::Both)]
    work: WorkArg,
    /// Measured repeats of each
    #[arg(long, value_name = "N", default_value = "5")]
    repeat: NonZeroUsize,
    /// Tiles on a side of the scene, for machines on which 64 tiles take too long [default: 8]
    #[arg(long, value_name = "N")]
    scene_side: Option<NonZeroUsize>,
    /// Let the model end its texts, as a user gets them, instead of work of a fixed size
    #[arg(long)]
    natural: bool,
}

/// `--work`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WorkArg {
    /// One image at a time
    One,
    /// A scene of many tiles
    Scene,
    /// One after the other
    Both,
}

pub(crate) fn run(args: &BenchArgs, settings: &Settings) -> anyhow::Result<Outcome> {
    let options = BenchOptions {
        engine: settings.engine_options(settings.variant)?,
        situation: match args.work {
            WorkArg::One => Situation::One,
            WorkArg::Scene => Situation::Scene,
            WorkArg::Both => Situation::Both,
        },
        lengths: if args.natural { Lengths::Natural } else { Lengths::Fixed },
        repeats: args.repeat,
        scene_side: args.scene_side,
    };
    if cfg!(debug_assertions) && !settings.quiet {
        output::note("warning: a debug build: time in own code and memory bandwidth mean nothing");
    }
    let report = bench::run(&options, &mut |step| {
        if !settings.quiet {
            output::note(&format!("{step} ..."));
        }
    })?;
    if settings.json {
        output::json(&report)?;
    } else {
        table(&report).iter().try_for_each(|line| output::line(line))?;
    }
    Ok(Outcome::Done)
}

/// The report in lines.
fn table(report: &BenchReport) -> Vec<String> {
    let (machine, work) = (&report.machine, &report.work);
    let processor = machine.processor.as_deref().unwrap_or("unknown processor");
    let lengths = match work.lengths {
        Lengths::Fixed => "fixed lengths",
        Lengths::Natural => "natural lengths",
    };
    let mib =
        |mib: Option<f64>, none: &str| mib.map_or_else(|| none.to_owned(), |mib| format!("{mib:.0} MiB"));
    let mut lines = vec![
        format!("{:30}{}", "rsmoe", report.rsmoe),
        format!(
            "{:30}{}, {} on {}, {} threads",
            "model", report.model, report.variant, report.provider, report.threads
        ),
        format!("{:30}{} {}, {processor}, {} cores", "machine", machine.os, machine.arch, machine.cores),
        format!(
            "{:30}{lengths}, {} image tokens, {} experts, router {}, pictures {} x {} px",
            "work", work.image_tokens, work.experts, work.router, work.picture_width, work.picture_height
        ),
        format!(
            "{:30}{}",
            "memory limit",
            report.memory_limit_bytes.map_or_else(
                || "none: all decoders stay in memory".to_owned(),
                |bytes| MemoryLimit::of_bytes(bytes).to_string(),
            )
        ),
        format!("{:30}{:.0} ms", "load", report.load_ms),
        format!("{:30}{:.0} ms", "load and first caption", report.first_caption_ms),
        format!("{:30}{}", "peak RSS", mib(report.peak_rss_mib, "unknown")),
        format!("{:30}{}", "peak RSS of the reader", mib(report.reader_peak_rss_mib, "none, or unknown")),
        String::new(),
        format!(
            "{:30}{:>10} {:>10} {:>10}",
            format!("of {} repeats", report.repeats),
            "median",
            "min",
            "max"
        ),
        row("memory bandwidth, GB/s", report.memory_gb_per_s),
    ];
    if let Some(one) = &report.one {
        lines.extend([String::new(), "one image".to_owned()]);
        lines.push(row("  time to first token, ms", one.first_token_ms));
        lines.push(row("  file to text, ms", one.caption_ms));
        lines.push(row("  embeddings to text, ms", one.from_embeddings_ms));
        lines.extend(cost_rows(&one.cost));
    }
    if let Some(scene) = &report.scene {
        lines.push(String::new());
        lines.push(format!("scene of {} tiles, {} together", scene.tiles, scene.tiles_per_batch));
        lines.push(row("  tiles/s", scene.tiles_per_s));
        lines.push(row("  reading thread, s", scene.reading_thread_s));
        lines.extend(cost_rows(&scene.cost));
    }
    lines
}

fn cost_rows(cost: &Cost) -> Vec<String> {
    let share = cost.share;
    let mut rows = vec![
        row("  tokens/s", cost.tokens_per_s),
        row("  prefill tokens/s in graph", cost.prefill_tokens_per_s),
        row("  decode tokens/s in graph", cost.decode_tokens_per_s),
    ];
    rows.push(match cost.roofline {
        Some(fraction) => row("  roofline, %", fraction.times(100.0)),
        None => format!("{:30}{:>10}", "  roofline, %", "none: not this machine's memory"),
    });
    rows.push(format!(
        "{:30}{:>10.0} of prompts, {:.0} written",
        "  tokens per image", cost.prompt_tokens_per_image, cost.written_tokens_per_image
    ));
    if cost.decoder_loads_per_image > 0.0 {
        rows.push(format!(
            "{:30}{:>10.3} loaded, {:.3} evicted",
            "  decoders per image", cost.decoder_loads_per_image, cost.decoder_evictions_per_image
        ));
    }
    let drafts = cost.acceptance_rate.map_or_else(
        || "none drafted".to_owned(),
        |rate| {
            format!(
                "{:.0} drafted, {:.0} accepted ({:.0} %)",
                cost.drafted_tokens_per_image,
                cost.accepted_tokens_per_image,
                rate * 100.0
            )
        },
    );
    rows.push(format!(
        "{:30}{:>10.1} decode steps, {:.0} % of their rows at work, {drafts}",
        "  per image",
        cost.steps_per_image,
        cost.occupancy * 100.0
    ));
    let parts = [
        ("vision", share.vision),
        ("prefill", share.prefill),
        ("decode", share.decode),
        ("loading", share.loading),
        ("reading", share.reading),
        ("own code", share.own),
    ];
    let parts: Vec<String> =
        parts.iter().map(|(name, part)| format!("{name} {:.1} %", part * 100.0)).collect();
    rows.push(format!("{:30}{}", "  time in", parts.join(", ")));
    rows
}

fn row(name: &str, spread: Spread) -> String {
    let cell = |figure: f64| if figure < 10.0 { format!("{figure:.3}") } else { format!("{figure:.1}") };
    format!("{name:30}{:>10} {:>10} {:>10}", cell(spread.median), cell(spread.min), cell(spread.max))
}
