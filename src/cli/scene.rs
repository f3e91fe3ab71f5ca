//! `rsmoe scene`: a large raster, tile by tile.

mod area;
mod dry_run;
mod watch;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};

use self::area::AreaArgs;
use self::watch::{Voice, Watch};
use super::args::{PictureArgs, StyleArg, threshold};
use super::events::Event;
use super::output::{self, CliError, Outcome};
use super::settings::{Settings, picture_options};
use crate::engine::{CaptionRequest, Question, UNFAMILIAR_BELOW};
use crate::error::ErrorKind;
use crate::raster::Acquisition;
use crate::scene::{
    self, CaptionStyle, EarlierRun, EngineDescriber, OutputFormat, RunEnd, SceneEvent, SceneSettings,
    SceneSummary, Shard, TileCounts, TileSideParseError, journal_path, tiles,
};

/// Most answers of the line that sums a question up.
const SHOWN_ANSWERS: usize = 6;

/// `rsmoe scene`.
#[expect(clippy::struct_excessive_bools, reason = "a command line has flags")]
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rsmoe scene landsat.tif --out captions.geojson\n  \
    rsmoe scene sentinel2.tif --bands 4,3,2 --tile-size 512 --ask \"Is there water?\" --out captions.csv\n  \
    rsmoe scene archive.vrt --shard 3/8 --out part-3.geojsonl    (then: rsmoe merge part-*.geojsonl --out captions.gpkg)\n  \
    rsmoe scene drone.tif --tile-size 50m --bbox 8.1,47.2,8.2,47.3 --dry-run --measure\n  \
    rsmoe scene landsat.tif --budget 60s --summary --out captions.geojson\n\n\
    Beside the output lies FILE.journal with every finished tile: the same command resumes.\n\n\
    With --json, stdout has the result as one JSON object, and stderr events, one JSON object a line, with a member `event`:\n\
    started, progress, tile_failed, note, warning, finished, error. With --quiet, too, errors alone.")]
pub(crate) struct SceneArgs {
    /// The scene: any raster that GDAL reads
    #[arg(value_name = "RASTER")]
    pub(crate) raster: PathBuf,
    /// Output; the extension names the format: .geojson, .geojsonl, .gpkg, .fgb, .parquet, .csv
    #[arg(long, short, value_name = "FILE", required_unless_present = "dry_run")]
    pub(crate) out: Option<PathBuf>,
    /// Side of a tile in pixels, or in metres as in 200m; `auto`: the model's input size in pixels
    #[arg(long, value_name = "PX|METRESm", default_value = "auto")]
    pub(crate) tile_size: String,
    /// Pixels that neighbouring tiles share
    #[arg(long, value_name = "PX", default_value_t = 0)]
    pub(crate) overlap: usize,
    #[command(flatten)]
    pub(crate) area: AreaArgs,
    #[command(flatten)]
    pub(crate) picture: PictureArgs,
    /// Skip tiles with a smaller share of valid pixels
    #[arg(long, value_name = "0..1", default_value_t = 0.25)]
    pub(crate) min_valid: f64,
    /// Ask this about every tile; may be repeated
    #[arg(long, value_name = "QUESTION")]
    pub(crate) ask: Vec<String>,
    /// Answer "not sure" below this confidence, 0 <= P < 1; 0 always answers; default: as the package says
    #[arg(long, value_name = "P", requires = "ask", value_parser = threshold, allow_negative_numbers = true)]
    pub(crate) unsure_below: Option<f64>,
    /// The experts' merged text, or one sentence
    #[arg(long, value_enum, default_value_t = StyleArg::Full)]
    pub(crate) style: StyleArg,
    /// Leave experts out of a full caption that are less sure than this, 0 <= P < 1, but for the one that leads; 0: none; default:
    /// as the package says
    #[arg(long, value_name = "P", value_parser = threshold, allow_negative_numbers = true)]
    pub(crate) silent_below: Option<f64>,
    /// When the scene was taken, RFC 3339, or an interval BEGIN/END; default: as its file says
    #[arg(long, value_name = "TIME")]
    pub(crate) datetime: Option<Acquisition>,
    /// Do one part of N of the scene, 1/N to N/N; `rsmoe merge` puts them together
    #[arg(long, value_name = "I/N", default_value = "1/1")]
    pub(crate) shard: String,
    /// Throw an earlier run's tiles away
    #[arg(long)]
    pub(crate) restart: bool,
    /// Print a paragraph about the whole scene: its overview, and what its tiles have in common
    #[arg(long)]
    pub(crate) summary: bool,
    /// End after this time, loading included, as in 60s, 5m, 1h: first the overview, printed as with --summary, then the tiles with the
    /// most contrast; exit code 3 if tiles are left, which the same command goes on with
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) budget: Option<Duration>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// With --dry-run: describe a few tiles to say how long the run will take
    #[arg(long, requires = "dry_run")]
    pub(crate) measure: bool,
}

/// `--budget`.
fn duration(text: &str) -> Result<Duration, String> {
    let units = [("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let unit = units.iter().find_map(|&(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
    let (number, seconds) = unit.unwrap_or((text, 1.0));
    let seconds = number.trim().parse().ok().map(|number: f64| number * seconds);
    let duration = seconds
        .filter(|seconds| *seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| "expected a time, for example 60s, 5m or 1h".to_owned())
}

pub(crate) fn run(args: &SceneArgs, settings: &Settings) -> anyhow::Result<Outcome> {
    let begun = Instant::now();
    let mut scene_settings = resolve(args)?;
    if args.dry_run {
        return dry_run::run(args, scene_settings, settings);
    }
    OutputFormat::of(&scene_settings.out)?;
    let mut describer = load_describer(args, &mut scene_settings, settings)?;
    for signal in [SIGINT, SIGTERM] {
        // The second signal ends the process at once; the journal is safe at every moment.
        signal_hook::flag::register_conditional_shutdown(signal, 75, Arc::clone(&settings.cancel))?;
        signal_hook::flag::register(signal, Arc::clone(&settings.cancel))?;
    }
    let loading = begun.elapsed();
    let voice = Voice::of(settings);
    let mut watch = Watch::new(voice);
    let started = Instant::now();
    let out = scene_settings.out.clone();
    let observe = &mut |event: SceneEvent<'_>| watch.tell(&event, &out);
    let summary = scene::run(&scene_settings, &mut describer, &settings.cancel, observe);
    watch.finish();
    let times = Times { budget: args.budget, loading, run: started.elapsed() };
    report(&summary?, &scene_settings, settings, &times)
}

/// What took how long.
struct Times {
    budget: Option<Duration>,
    /// Until the model was loaded.
    loading: Duration,
    /// From there on.
    run: Duration,
}

/// Loads the engine and settles what depends on it.
fn load_describer(
    args: &SceneArgs,
    scene_settings: &mut SceneSettings,
    settings: &Settings,
) -> anyhow::Result<EngineDescriber> {
    let engine = settings.load_engine()?;
    scene_settings.batch = EngineDescriber::tiles_per_batch(&engine);
    scene_settings.unsure_below = args.unsure_below.unwrap_or(engine.unsure_below());
    let unsure_below = Some(scene_settings.unsure_below);
    let question = |text: &String| Question { unsure_below, ..Question::new(text) };
    let questions = args.ask.iter().map(question).collect();
    scene_settings.silent_below = match args.style {
        StyleArg::Full => args.silent_below.unwrap_or(engine.silent_below()),
        StyleArg::Brief => 0.0,
    };
    let request = CaptionRequest {
        style: args.style.into(),
        silent_below: Some(scene_settings.silent_below),
        ..CaptionRequest::default()
    };
    Ok(EngineDescriber::new(engine, request, questions))
}

fn resolve(args: &SceneArgs) -> anyhow::Result<SceneSettings> {
    let tile = args.tile_size.parse().map_err(|error: TileSideParseError| {
        let message = format!("--tile-size {}: {error}", args.tile_size);
        CliError::usage(message, "for example --tile-size 512, or --tile-size 200m")
    })?;
    if !(0.0..=1.0).contains(&args.min_valid) {
        let message = format!("--min-valid {}: expected a share from 0 to 1", args.min_valid);
        return Err(CliError::usage(message, "for example --min-valid 0.25").into());
    }
    if args.style == StyleArg::Brief && args.silent_below.is_some() {
        return Err(CliError::usage(
            "--silent-below: a brief caption has no experts",
            "leave it out, or ask for --style full",
        )
        .into());
    }
    if let Some(empty) = args.ask.iter().find(|question| question.trim().is_empty()) {
        return Err(CliError::usage(
            format!("--ask {empty:?}: expected a question"),
            "for example --ask \"Is there water?\"",
        )
        .into());
    }
    let shard = args.shard.parse::<Shard>().map_err(|error| {
        CliError::usage(format!("--{error}"), "for example --shard 1/4, and --shard 2/4 elsewhere")
    })?;
    Ok(SceneSettings {
        raster: args.raster.clone(),
        out: args.out.clone().unwrap_or_default(),
        tile,
        overlap_px: args.overlap,
        area: args.area.resolve()?,
        picture: picture_options(&args.picture)?,
        min_valid: args.min_valid,
        style: match args.style {
            StyleArg::Full => CaptionStyle::Full,
            StyleArg::Brief => CaptionStyle::Brief,
        },
        questions: args.ask.clone(),
        // Where none is given, the package decides when it is there.
        unsure_below: args.unsure_below.unwrap_or_default(),
        silent_below: args.silent_below.unwrap_or_default(),
        shard,
        batch: NonZeroUsize::MIN,
        earlier: if args.restart { EarlierRun::Restart } else { EarlierRun::Resume },
        datetime: args.datetime.clone(),
        overview: args.summary,
        deadline: args.budget.and_then(|budget| Instant::now().checked_add(budget)),
    })
}

fn report(
    summary: &SceneSummary,
    scene_settings: &SceneSettings,
    settings: &Settings,
    times: &Times,
) -> anyhow::Result<Outcome> {
    let out = &scene_settings.out;
    let seconds = (times.run.as_secs_f64() * 1e3).round() / 1e3;
    // Where time is short, it is the best answer that there is.
    let is_wanted = scene_settings.overview || scene_settings.deadline.is_some();
    let paragraph = is_wanted.then(|| summary.digest.paragraph());
    if settings.json {
        output::json(&json!({
            "out": out, "journal": journal_path(out), "complete": summary.end == RunEnd::Complete, "counts": summary.counts,
            "resumed": summary.resumed, "answers": summary.digest.answers,
            "not_reached": summary.digest.not_reached, "summary": paragraph, "themes": summary.digest.themes,
            "seconds": seconds,
        }))?;
    } else if let Some(paragraph) = paragraph.filter(|paragraph| !paragraph.is_empty()) {
        output::line(&paragraph)?;
    }
    let voice = Voice::of(settings);
    if summary.end == RunEnd::Interrupted {
        if !settings.json {
            output::note(&format!(
                "interrupted after {}: the same command resumes",
                tiles(summary.counts.total())
            ));
        }
    } else {
        tell_result(summary, out, times, voice);
    }
    voice.event(&Event::Finished {
        end: summary.end,
        out: out.display().to_string(),
        counts: summary.counts,
        resumed: summary.resumed,
        not_reached: summary.digest.not_reached,
        seconds,
    });
    let failed = summary.counts.failed;
    if failed > 0 && summary.end != RunEnd::Interrupted {
        let (scene, total) = (scene_settings.raster.display(), tiles(summary.counts.total()));
        let first = summary.first_failure.as_ref().map(|failure| format!("; the first: {failure}"));
        voice.error(
            ErrorKind::Partial,
            &format!("{scene}: {failed} of {total} failed{}", first.unwrap_or_default()),
            &format!("compare the file with its source; the reason of each tile stands in {}", out.display()),
        );
    }
    Ok(match summary.end {
        RunEnd::Interrupted => Outcome::Interrupted,
        RunEnd::OutOfTime => Outcome::InPart,
        RunEnd::Complete => Outcome::of_tiles(summary.counts),
    })
}

/// How many tiles went how, and how quickly, if any were new.
fn done_line(summary: &SceneSummary, out: &Path, run: Duration) -> String {
    let TileCounts { captioned, skipped, failed, .. } = summary.counts;
    let (resumed, seconds) = (summary.resumed, run.as_secs_f64());
    let new = summary.counts.total() - resumed;
    let pace = match new {
        0 => "nothing was left to do".to_owned(),
        _ => format!("{seconds:.1} s, {:.2} tiles/s", new as f64 / seconds.max(1e-9)),
    };
    let counts = format!("{} captioned, {skipped} skipped, {failed} failed", tiles(captioned));
    format!("{counts} ({resumed} resumed): {pace} -> {}", out.display())
}

/// What came out, in words.
fn tell_result(summary: &SceneSummary, out: &Path, times: &Times, voice: Voice) {
    let TileCounts { captioned, unfamiliar, failed, .. } = summary.counts;
    let left = summary.digest.not_reached;
    voice.note_to_people(&done_line(summary, out, times.run));
    if summary.end == RunEnd::OutOfTime {
        voice.note(&format!("out of time: {} not reached; the same command goes on with them", tiles(left)));
        if summary.counts.total() == summary.resumed {
            voice.warning(&too_short(times, summary.before_tiles));
        }
    }
    for tally in &summary.digest.answers {
        voice.note(&format!("{} {}", output::one_line(&tally.question), tally.line(SHOWN_ANSWERS)));
    }
    if unfamiliar > 0 {
        voice.warning(&format!(
            "the familiarity of {unfamiliar} of {} is below {UNFAMILIAR_BELOW}: like nothing that the model knows, so do not rely on \
             these texts",
            tiles(captioned)
        ));
    }
    if captioned == 0 && failed == 0 && left == 0 {
        voice.note("note: no tile has enough valid pixels");
    }
}

/// Why a budget left no time for a single batch.
fn too_short(times: &Times, before_tiles: Duration) -> String {
    let (loading, before) = (times.loading.as_secs_f64(), before_tiles.as_secs_f64());
    let budget = times.budget.unwrap_or_default().as_secs_f64();
    format!(
        "--budget {budget}s: no tile was begun, since loading the model took {loading:.2} s and the look at the whole scene {before:.2} s: \
         give more than {:.0}s",
        (loading + before).ceil()
    )
}
