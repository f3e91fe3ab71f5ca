//! What is typed: the command line as clap parses it. What it means is decided in `settings`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::bench::BenchArgs;
use super::convert::ConvertArgs;
use super::merge::MergeArgs;
use super::report::ReportArgs;
use super::scene::SceneArgs;
use crate::expert::MemoryLimit;
use crate::manifest::ConfidenceSpec;

/// Longest `--read-timeout`: a day.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// Says what is in remote-sensing imagery: captions and answers, georeferenced, on the machine where the imagery is.
#[derive(Debug, Parser)]
#[command(
    name = "rsmoe",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Examples:\n  rsmoe caption tile.tif\n  rsmoe ask tile.tif \"How many airplanes are there?\"\n  \
                  rsmoe scene landsat.tif --bands 4,3,2 --out captions.geojson\n  \
                  rsmoe report captions.geojson --out map.html\n\n\
                  Exit codes: 0 done, 2 wrong command line, 3 done in part, 4 unreadable input, 5 model package missing or \
                  invalid, 69 provider not available, 70 fault of the program, 75 interrupted (the same command resumes)."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The options that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// Model package: a name, looked up in ./models, beside the executable and in the user data directory, or a directory
    #[arg(long, global = true, env = "RSMOE_MODEL", value_name = "NAME|DIR", default_value = "rsmoe-mini")]
    pub(crate) model: String,
    /// Execution provider; `auto` takes the best that starts and says which
    #[arg(long, global = true, value_enum, default_value_t = ProviderArg::Auto)]
    pub(crate) provider: ProviderArg,
    /// Precision of the language model; default: what the package names for the provider
    #[arg(long, global = true, value_enum)]
    pub(crate) variant: Option<VariantArg>,
    /// How often an image is looked at; default: as the package says
    #[arg(long, global = true, value_enum)]
    pub(crate) views: Option<ViewsArg>,
    /// Threads for inference; default: one for each core that the process may use
    #[arg(long, global = true, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Most bytes of weights in memory, with K, M or G (powers of 1024): the files of vision encoder and connector, and of the
    /// decoders that are loaded. Decoders beyond it are loaded when they are needed, once per batch, and evicted again (layout
    /// `graph`). Caches and activations come on top. Default: everything stays loaded
    #[arg(long, global = true, value_name = "SIZE")]
    pub(crate) memory_limit: Option<MemoryLimit>,
    /// Draft tokens from earlier texts and check several in one step; the texts are the same
    #[arg(long, global = true, value_enum, default_value_t = SpeculationArg::On)]
    pub(crate) speculation: SpeculationArg,
    /// ONNX Runtime library; default: `ORT_DYLIB_PATH`, beside the executable, ./.ort, the user data directory
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) ort_lib: Option<PathBuf>,
    /// Where rasters are read; in a process of its own, a file that crashes or hangs its decoder costs that read alone
    #[arg(long, global = true, value_enum, default_value_t = ReaderArg::Process)]
    pub(crate) reader: ReaderArg,
    /// Longest wait for one read of a raster in a process of its own
    #[arg(long, global = true, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub(crate) read_timeout: Duration,
    /// Print errors only
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Say more on stderr; twice for even more
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Print results as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No colours on stderr (also `NO_COLOR`)
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
}

/// `--provider`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProviderArg {
    /// The best that starts
    Auto,
    /// Processor
    Cpu,
    /// NVIDIA CUDA
    Cuda,
    /// NVIDIA `TensorRT`
    Tensorrt,
}

/// `--reader`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReaderArg {
    /// In a process of its own
    Process,
    /// In the program itself: less memory, no protection
    Inline,
}

/// `--read-timeout`: a time that can be waited for.
fn seconds(text: &str) -> Result<Duration, String> {
    let given = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let is_usable = |time: &Duration| !time.is_zero() && *time <= LONGEST_WAIT;
    given.filter(is_usable).ok_or_else(|| "expected more than 0 and at most 86400, for example 60".to_owned())
}

/// `--variant`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum VariantArg {
    /// 32-bit floats, the reference
    Fp32,
    /// 8-bit weights and activations, row-wise
    W8a8,
    /// 4-bit weights
    Int4,
}

/// `--views`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ViewsArg {
    /// Once: quicker
    Single,
    /// In four quarter turns, whose mean is steadier
    QuarterTurns,
}

/// `--speculation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SpeculationArg {
    /// As many as pay
    On,
    /// None: every token takes a decode step
    Off,
}

/// `--style`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StyleArg {
    /// The experts' merged text
    Full,
    /// One sentence
    Brief,
}

/// `--router`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RouterArg {
    /// The package's language model, for each image
    Generative,
    /// Nobody: every expert gets its prompt of the package
    Fixed,
}

/// `--unsure-below` and `--silent-below`: a confidence.
pub(crate) fn threshold(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|&number| ConfidenceSpec::is_threshold(number));
    number.ok_or_else(|| "expected 0 <= P < 1, for example 0.6; 0 keeps nothing back".to_owned())
}

/// Where each shell looks for completions.
const COMPLETIONS_HELP: &str = "\
Examples:
  rsmoe completions bash > ~/.local/share/bash-completion/completions/rsmoe
  rsmoe completions zsh > ~/.zfunc/_rsmoe          (with fpath+=~/.zfunc before compinit)
  rsmoe completions fish > ~/.config/fish/completions/rsmoe.fish";

/// The command of the reader processes.
pub(crate) const READ_RASTERS: &str = "read-rasters";

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// One caption per input: pictures, GeoTIFFs, directories of them
    Caption(CaptionArgs),
    /// One answer per question about a picture or a raster
    Ask(AskArgs),
    /// Tile a large raster and caption every tile; run again to resume
    Scene(Box<SceneArgs>),
    /// Put the shards of a scene together
    Merge(MergeArgs),
    /// Write a scene's captions in another format
    Convert(ConvertArgs),
    /// Draw a scene's captions as one self-contained HTML page
    Report(ReportArgs),
    /// Model packages: list, info, verify
    #[command(subcommand)]
    Model(ModelCommand),
    /// Speed on this machine, as a table or JSON
    Bench(BenchArgs),
    /// What is installed, what runs where, and how to mend what does not
    Doctor,
    /// Completions for a shell, on standard output
    #[command(after_help = COMPLETIONS_HELP)]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write the manual pages, rsmoe.1 and one for each command, into a directory
    Man {
        /// The directory; it is made if it is missing
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Read rasters for the program that started this one (standard input is a socket)
    #[command(name = READ_RASTERS, hide = true)]
    ReadRasters,
}

/// Examples, and what a confidence is: the rules of `ConfidenceSpec` in the words of a user.
macro_rules! help_with_confidence {
    ($examples:literal) => {
        concat!(
            "Examples:\n",
            $examples,
            "\n\nConfidence, 0 to 1. Of a text: familiarity x exp(mean log-probability of its tokens / temperature); of a full caption: that \
             of the expert that leads, or the mean over its experts where the package names none. Of a choice among K: familiarity x \
             softmax(log-probabilities / temperature) + (1 - familiarity) / K. Familiarity is how probable it is that the image is of \
             the kind that the model was trained on, against black tiles, noise, clouds, photographs. Temperatures are fitted on \
             validation data. Both come with the package; where it has none, they are 1, and the confidence of a text is its mean \
             token probability."
        )
    };
}

/// `rsmoe caption`.
#[derive(Debug, Args)]
#[command(after_help = help_with_confidence!(
    "  rsmoe caption tile.tif\n  \
     rsmoe caption --style brief --jsonl tiles/ > captions.jsonl\n  \
     rsmoe caption sentinel2.tif --bands 4,3,2"
))]
pub(crate) struct CaptionArgs {
    /// Pictures, rasters, or directories of them
    #[arg(required = true, value_name = "INPUT")]
    pub(crate) inputs: Vec<PathBuf>,
    /// The experts' merged text, or one sentence
    #[arg(long, value_enum, default_value_t = StyleArg::Full)]
    pub(crate) style: StyleArg,
    /// What to describe; default: the package's own instruction
    #[arg(long, value_name = "TEXT")]
    pub(crate) instruction: Option<String>,
    /// Who writes the prompts of the experts of a full caption; default: the package's router
    #[arg(long, value_enum)]
    pub(crate) router: Option<RouterArg>,
    /// Ask only these experts of the package for a full caption; default: all
    #[arg(long, value_name = "A,B,...", value_delimiter = ',')]
    pub(crate) experts: Option<Vec<String>>,
    /// Leave experts out of a full caption that are less sure than this, 0 <= P < 1, but for the one that leads; 0: none; default:
    /// as the package says
    #[arg(long, value_name = "P", value_parser = threshold, allow_negative_numbers = true)]
    pub(crate) silent_below: Option<f64>,
    /// One JSON object a line, in input order
    #[arg(long)]
    pub(crate) jsonl: bool,
    #[command(flatten)]
    pub(crate) picture: PictureArgs,
    /// Inputs that are described together
    #[arg(long, value_name = "N", default_value = "8")]
    pub(crate) batch: NonZeroUsize,
}

/// How rasters are turned into pictures.
#[derive(Debug, Args)]
pub(crate) struct PictureArgs {
    /// Bands for red, green and blue: numbers, counted from 1, or names (B04, red); default: as the preset says, by colour
    /// interpretation, else the first three
    #[arg(long, value_name = "R,G,B", value_delimiter = ',')]
    pub(crate) bands: Option<Vec<String>>,
    /// Whose product it is: auto, none, sentinel2, landsat-c2, naip or rgb8; decides on bands and stretch that are not named
    #[arg(long, value_name = "SENSOR", default_value = "auto")]
    pub(crate) preset: String,
    /// Values shown as black and white: auto, none, MIN,MAX or pLOW,pHIGH (percentiles)
    #[arg(long, value_name = "STRETCH", default_value = "auto", allow_hyphen_values = true)]
    pub(crate) stretch: String,
    /// Show values as this run of `rsmoe scene` did, so that scenes can be compared: its output or journal
    #[arg(long, value_name = "FILE", conflicts_with = "stretch")]
    pub(crate) stretch_from: Option<PathBuf>,
    /// Sentinel-2: what is added to stored values, -1000 or 0; default: as the product says
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) s2_offset: Option<f64>,
    /// A stored value that means "no data", beside what the file says
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pub(crate) nodata: Option<f64>,
}

/// `rsmoe ask`.
#[derive(Debug, Args)]
#[command(after_help = help_with_confidence!(
    "  rsmoe ask tile.tif \"How many airplanes are there?\"\n  \
     rsmoe ask tile.tif \"Is there a bridge in the image?\" --choices yes,no\n  \
     rsmoe ask --questions questions.jsonl --jsonl > answers.jsonl"
))]
pub(crate) struct AskArgs {
    /// A picture or a raster
    #[arg(required_unless_present = "questions", value_name = "INPUT")]
    pub(crate) input: Option<PathBuf>,
    /// Questions about it
    #[arg(required_unless_present = "questions", value_name = "QUESTION")]
    pub(crate) question: Vec<String>,
    /// Score these answers instead of writing one; their probabilities add up to 1
    #[arg(long, value_name = "A,B,...", value_delimiter = ',', conflicts_with = "questions")]
    pub(crate) choices: Option<Vec<String>>,
    /// Lines of JSON `{"input", "question", "choices"?}` (`-`: standard input), answered in order
    #[arg(long, value_name = "FILE", conflicts_with_all = ["input", "question"])]
    pub(crate) questions: Option<PathBuf>,
    /// Answer "not sure" below this confidence, 0 <= P < 1; 0 always answers; default: as the package says
    #[arg(long, value_name = "P", value_parser = threshold, allow_negative_numbers = true)]
    pub(crate) unsure_below: Option<f64>,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) jsonl: bool,
    #[command(flatten)]
    pub(crate) picture: PictureArgs,
    /// Questions that are answered together
    #[arg(long, value_name = "N", default_value = "16")]
    pub(crate) batch: NonZeroUsize,
}

/// `rsmoe model`.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// The packages that are found, and where
    List,
    /// What is in the package
    Info,
    /// Check every file of the package against its hash, and the graphs against the manifest
    Verify,
    /// Describe the package as a STAC item of the machine learning model extension (MLM), for catalogues
    ExportMlm {
        /// The item to write; its name ends in .stac.json
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Replace FILE if it is there
        #[arg(long)]
        overwrite: bool,
    },
}
