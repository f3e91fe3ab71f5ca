//! What the global options mean: every default is decided here.

use std::env;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;

use super::args::{
    GlobalArgs, PictureArgs, ProviderArg, READ_RASTERS, ReaderArg, RouterArg, SpeculationArg, StyleArg,
    VariantArg, ViewsArg,
};
use super::output::{CliError, note};
use crate::engine::{Engine, EngineOptions, RouterChoice, Speculation, Style};
use crate::error::ErrorKind;
use crate::expert::MemoryLimit;
use crate::manifest::{MANIFEST_FILE, Variant, Views};
use crate::raster::{self, BandName, Isolation};
use crate::runtime::{ExecutionProvider, ProviderPolicy};
use crate::scene::recorded_stretch;
use crate::vision::picture::PictureOptions;
use crate::vision::preset::PresetParseError;
use crate::vision::radiometry::StretchMode;

/// The resolved global options.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) model: String,
    pub(crate) provider: ProviderPolicy,
    pub(crate) variant: Option<Variant>,
    pub(crate) views: Option<Views>,
    pub(crate) threads: Option<NonZeroUsize>,
    pub(crate) speculation: Speculation,
    pub(crate) ort_library: Option<PathBuf>,
    pub(crate) reader: ReaderArg,
    pub(crate) read_timeout: Duration,
    /// Set by a signal: end as soon as what is being done is done. Reading ends at once.
    pub(crate) cancel: Arc<AtomicBool>,
    pub(crate) memory_limit: Option<MemoryLimit>,
    pub(crate) quiet: bool,
    pub(crate) verbose: u8,
    pub(crate) json: bool,
    pub(crate) no_color: bool,
}

impl Settings {
    pub(crate) fn resolve(args: GlobalArgs) -> Self {
        Self {
            model: args.model,
            provider: args.provider.into(),
            variant: args.variant.map(Variant::from),
            views: args.views.map(Views::from),
            threads: args.threads,
            speculation: args.speculation.into(),
            ort_library: args.ort_lib,
            reader: args.reader,
            read_timeout: args.read_timeout,
            cancel: Arc::new(AtomicBool::new(false)),
            memory_limit: args.memory_limit,
            quiet: args.quiet,
            verbose: args.verbose,
            json: args.json,
            no_color: args.no_color,
        }
    }

    /// From now on, rasters are read as `--reader` says.
    pub(crate) fn settle_reader(&self) -> anyhow::Result<()> {
        if self.reader == ReaderArg::Process {
            let program =
                env::current_exe().context("the program does not find itself, to read in another process")?;
            let arguments = vec![READ_RASTERS.into()];
            let (timeout, stop) = (self.read_timeout, Arc::clone(&self.cancel));
            raster::isolate(Isolation { program, arguments, timeout, stop });
        }
        Ok(())
    }

    /// The directory of the model package that `--model` names.
    pub(crate) fn model_directory(&self) -> Result<PathBuf, CliError> {
        let named = Path::new(&self.model);
        if named.join(MANIFEST_FILE).is_file() {
            return Ok(named.to_path_buf());
        }
        // A name is one path component: anything else was meant as a directory.
        let is_name = named.components().count() == 1 && !self.model.starts_with('.');
        let searched: Vec<PathBuf> = if is_name {
            model_places().iter().map(|place| place.join(named)).collect()
        } else {
            vec![named.to_path_buf()]
        };
        if let Some(directory) = searched.iter().find(|path| path.join(MANIFEST_FILE).is_file()) {
            return Ok(directory.clone());
        }
        let list: Vec<String> = searched.iter().map(|path| path.display().to_string()).collect();
        Err(CliError::new(
            ErrorKind::ModelPackage,
            format!("no model package {:?}: no {MANIFEST_FILE} in {}", self.model, list.join(", ")),
            "`make model` builds rsmoe-mini into models/rsmoe-mini; --model or RSMOE_MODEL names a package or its directory",
        ))
    }

    /// Loads the engine that the options describe.
    pub(crate) fn load_engine(&self) -> anyhow::Result<Engine> {
        self.load_engine_of(self.variant)
    }

    /// How to load the engine, with the variant named by the caller.
    pub(crate) fn engine_options(&self, variant: Option<Variant>) -> Result<EngineOptions, CliError> {
        Ok(EngineOptions {
            model: self.model_directory()?,
            provider: self.provider.clone(),
            variant,
            views: self.views,
            threads: self.threads,
            speculation: self.speculation,
            ort_library: self.ort_library.clone(),
            memory_limit: self.memory_limit,
        })
    }

    /// As [`Settings::load_engine`], with the variant named by the caller.
    pub(crate) fn load_engine_of(&self, variant: Option<Variant>) -> anyhow::Result<Engine> {
        let engine = Engine::load(&self.engine_options(variant)?)?;
        if !self.quiet && self.verbose > 0 {
            note(&format!("{}: {} on {}", engine.model_id(), engine.variant(), engine.provider()));
        }
        Ok(engine)
    }
}

/// Where packages are looked up by name: ./models, models/ beside the executable, the user data directory.
pub(crate) fn model_places() -> Vec<PathBuf> {
    let mut places = vec![PathBuf::from("models")];
    if let Some(directory) = env::current_exe().ok().as_deref().and_then(Path::parent) {
        places.push(directory.join("models"));
    }
    places.extend(user_data_directory().map(|directory| directory.join("models")));
    places
}

/// `$XDG_DATA_HOME/rsmoe`, or `~/.local/share/rsmoe`.
fn user_data_directory() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|data| data.join("rsmoe"))
}

/// How rasters become pictures, as `--bands`, `--preset`, `--stretch` and the like say.
pub(crate) fn picture_options(args: &PictureArgs) -> anyhow::Result<PictureOptions> {
    let preset = args.preset.parse().map_err(|error: PresetParseError| {
        CliError::usage(format!("--preset: {error}"), "for example --preset sentinel2")
    })?;
    let stretch = match &args.stretch_from {
        Some(file) => StretchMode::Recorded(recorded_stretch(file)?),
        None => stretch_mode(&args.stretch)?,
    };
    if let Some(offset) = args.s2_offset.filter(|offset| !offset.is_finite()) {
        return Err(CliError::usage(format!("--s2-offset {offset}: expected a number"), "-1000 or 0").into());
    }
    Ok(PictureOptions {
        bands: band_names(args.bands.as_deref())?,
        stretch,
        preset,
        sentinel2_offset: args.s2_offset,
        nodata: args.nodata,
    })
}

/// `--bands`: three numbers or names, or one that is shown in grey.
pub(crate) fn band_names(bands: Option<&[String]>) -> anyhow::Result<Option<Vec<BandName>>> {
    let Some(bands) = bands else { return Ok(None) };
    let names: Option<Vec<BandName>> = bands.iter().map(|band| band.parse().ok()).collect();
    match names {
        Some(names) if matches!(names.len(), 1 | 3) => Ok(Some(names)),
        _ => Err(CliError::usage(
            format!(
                "--bands {}: expected three bands, or one, by number counted from 1 or by name",
                bands.join(",")
            ),
            "for example --bands 4,3,2 or --bands red,green,blue",
        )
        .into()),
    }
}

/// `--stretch`.
pub(crate) fn stretch_mode(text: &str) -> anyhow::Result<StretchMode> {
    text.parse::<StretchMode>().map_err(|_| {
        CliError::usage(
            format!("--stretch {text:?}: expected auto, none, MIN,MAX with MIN < MAX, or pLOW,pHIGH with 0 <= LOW < HIGH <= 100"),
            "for example --stretch p2,p98",
        )
        .into()
    })
}

impl From<ProviderArg> for ProviderPolicy {
    fn from(arg: ProviderArg) -> Self {
        match arg {
            ProviderArg::Auto => Self::auto(),
            ProviderArg::Cpu => Self::Require(ExecutionProvider::Cpu),
            ProviderArg::Cuda => Self::Require(ExecutionProvider::Cuda),
            ProviderArg::Tensorrt => Self::Require(ExecutionProvider::TensorRt),
        }
    }
}

impl From<VariantArg> for Variant {
    fn from(arg: VariantArg) -> Self {
        match arg {
            VariantArg::Fp32 => Self::Fp32,
            VariantArg::W8a8 => Self::W8a8,
            VariantArg::Int4 => Self::Int4,
        }
    }
}

impl From<ViewsArg> for Views {
    fn from(arg: ViewsArg) -> Self {
        match arg {
            ViewsArg::Single => Self::Single,
            ViewsArg::QuarterTurns => Self::QuarterTurns,
        }
    }
}

impl From<SpeculationArg> for Speculation {
    fn from(arg: SpeculationArg) -> Self {
        match arg {
            SpeculationArg::On => Self::On,
            SpeculationArg::Off => Self::Off,
        }
    }
}

impl From<RouterArg> for RouterChoice {
    fn from(arg: RouterArg) -> Self {
        match arg {
            RouterArg::Generative => Self::Generative,
            RouterArg::Fixed => Self::Fixed,
        }
    }
}

impl From<StyleArg> for Style {
    fn from(arg: StyleArg) -> Self {
        match arg {
            StyleArg::Full => Self::Full,
            StyleArg::Brief => Self::Brief,
        }
    }
}
