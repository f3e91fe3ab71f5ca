//! `rsmoe caption`: one caption per input.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};

use super::args::CaptionArgs;
use super::inputs::{self, error_json, message};
use super::output::{self, CliError, Outcome};
use super::settings::{Settings, picture_options};
use crate::engine::{Caption, CaptionRequest, Engine, RouterChoice, Style, is_unfamiliar};
use crate::error::Error;

pub(crate) fn run(args: &CaptionArgs, settings: &Settings) -> anyhow::Result<Outcome> {
    let options = picture_options(&args.picture)?;
    let request = request(args)?;
    let paths = inputs::expand(&args.inputs);
    let mut engine = settings.load_engine()?;
    let batches: Vec<Vec<PathBuf>> = paths.chunks(args.batch.get()).map(<[PathBuf]>::to_vec).collect();
    let printer = Printer { jsonl: args.jsonl, named: paths.len() > 1, quiet: settings.quiet };
    let mut failed = 0;
    let mut records = Vec::new();
    inputs::for_each_batch(&batches, engine.input_size(), &options, |index, pictures| {
        let start = Instant::now();
        let (images, errors) = split(pictures);
        let mut captions = engine.caption(&images, &request)?.into_iter();
        let ms = start.elapsed().as_secs_f64() * 1e3 / images.len().max(1) as f64;
        for (path, error) in batches[index].iter().zip(errors) {
            let result = match error {
                Some(error) => Err(error),
                None => Ok(captions.next().expect("the engine gives one caption per image")),
            };
            failed += usize::from(result.is_err());
            if settings.json {
                records.push(record(path, &result, &engine, ms));
            } else {
                printer.print(path, &result, &engine, ms)?;
            }
        }
        Ok(())
    })?;
    if settings.json {
        output::json(&records)?;
    }
    Ok(Outcome::of_inputs(failed, paths.len()))
}

fn request(args: &CaptionArgs) -> anyhow::Result<CaptionRequest> {
    let style = Style::from(args.style);
    if style == Style::Brief
        && (args.router.is_some() || args.experts.is_some() || args.silent_below.is_some())
    {
        return Err(CliError::usage(
            "--router, --experts and --silent-below: a brief caption has no experts",
            "leave them out, or ask for --style full",
        )
        .into());
    }
    Ok(CaptionRequest {
        style,
        instruction: args.instruction.clone(),
        router: args.router.map(RouterChoice::from),
        experts: args.experts.clone(),
        silent_below: args.silent_below,
        work: None,
    })
}

/// Separates what was read from what was not, keeping each input's place.
pub(crate) fn split<T>(pictures: Vec<Result<T, Error>>) -> (Vec<T>, Vec<Option<Error>>) {
    let mut images = Vec::with_capacity(pictures.len());
    let errors = pictures
        .into_iter()
        .map(|picture| match picture {
            Ok(image) => {
                images.push(image);
                None
            }
            Err(error) => Some(error),
        })
        .collect();
    (images, errors)
}

struct Printer {
    jsonl: bool,
    /// More than one input: each line says whose it is.
    named: bool,
    /// No warnings.
    quiet: bool,
}

impl Printer {
    fn print(
        &self,
        path: &Path,
        result: &Result<Caption, Error>,
        engine: &Engine,
        ms: f64,
    ) -> anyhow::Result<()> {
        if self.jsonl {
            return output::json_line(&record(path, result, engine, ms));
        }
        if let Ok(caption) = result
            && !self.quiet
        {
            warn_if_unfamiliar(path, caption.familiarity);
        }
        match result {
            Ok(caption) if self.named => {
                output::line(&format!("{}\t{}", path.display(), output::one_line(&caption.text)))
            }
            Ok(caption) => output::line(&output::one_line(&caption.text)),
            Err(error) => {
                report_failed_input(path, error);
                Ok(())
            }
        }
    }
}

/// Says on stderr that the text about an image is likely to be invented, if it is.
pub(crate) fn warn_if_unfamiliar(path: &Path, familiarity: Option<f32>) {
    if let Some(familiarity) = familiarity.filter(|_| is_unfamiliar(familiarity)) {
        output::note(&format!(
            "warning: {}: looks like nothing that the model knows (familiarity {familiarity:.2}): do not rely on the text",
            path.display()
        ));
    }
}

/// Says on stderr why an input failed.
pub(crate) fn report_failed_input(path: &Path, error: &Error) {
    let text = message(error);
    // Most messages name the file themselves.
    let name = path.display().to_string();
    let place = if text.contains(&name) { String::new() } else { format!("{name}: ") };
    output::note(&format!("error: {place}{text}"));
    if let Some(hint) = error.hint() {
        output::note(&format!("hint: {hint}"));
    }
}

fn record(path: &Path, result: &Result<Caption, Error>, engine: &Engine, ms: f64) -> Value {
    match result {
        Ok(caption) => json!({
            "input": path.to_string_lossy(),
            "caption": caption.text,
            "experts": caption.experts.iter().map(|expert| json!({
                "name": expert.name,
                "prompt": expert.prompt,
                "prompt_source": expert.prompt_source.name(),
                "text": expert.text,
                "confidence": round6(expert.confidence),
                "in_caption": expert.in_caption,
            })).collect::<Vec<_>>(),
            "confidence": round6(caption.confidence),
            "familiarity": caption.familiarity.map(round6),
            "model": engine.model_id(),
            "provider": engine.provider(),
            "variant": engine.variant().to_string(),
            "ms": (ms * 10.0).round() / 10.0,
        }),
        Err(error) => json!({"input": path.to_string_lossy(), "error": error_json(error)}),
    }
}

/// Six decimals: as many as a calibration needs of a small probability; more is noise.
pub(crate) fn round6(value: f32) -> f64 {
    (f64::from(value) * 1e6).round() / 1e6
}
