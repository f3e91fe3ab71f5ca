//! `rsmoe doctor`: what is installed, what runs where, and how to mend what does not.

use std::fs;
use std::thread;

use serde::Serialize;

use super::inputs;
use super::model::found_packages;
use super::output::{self, Outcome};
use super::settings::Settings;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind};
use crate::manifest::ModelPackage;
use crate::raster;
use crate::runtime::{Runtime, RuntimeOptions};
use crate::vector;

/// One line of the report.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// What a script learns from the exit code, if this is a problem.
    #[serde(skip)]
    kind: Option<ErrorKind>,
}

impl Check {
    fn good(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, ok: true, detail: detail.into(), hint: None, kind: None }
    }

    fn bad(name: &'static str, error: &Error) -> Self {
        let hint = error.hint();
        Self { name, ok: false, detail: inputs::message(error), hint, kind: Some(error.kind()) }
    }

    /// An error of this command line, which carries its own message.
    fn failed(name: &'static str, error: &anyhow::Error) -> Self {
        let (kind, hint) = output::kind_and_hint(error);
        let detail = error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ");
        Self { name, ok: false, detail, hint, kind: Some(kind) }
    }
}

pub(crate) fn run(settings: &Settings) -> anyhow::Result<Outcome> {
    let mut checks = vec![Check::good("rsmoe", env!("CARGO_PKG_VERSION")), machine()];
    checks.push(gdal());
    checks.extend(onnx_runtime(settings));
    checks.push(packages());
    checks.extend(model(settings));
    checks.push(writable());
    let problems = checks.iter().filter(|check| !check.ok).count();
    if settings.json {
        output::json(&serde_json::json!({"checks": checks, "problems": problems}))?;
    } else {
        for check in &checks {
            let mark = if check.ok { "ok     " } else { "PROBLEM" };
            output::line(&format!("{mark} {:14} {}", check.name, check.detail))?;
            if let Some(hint) = &check.hint {
                output::line(&format!("{:22} to mend it: {hint}", ""))?;
            }
        }
        output::line(&format!("{problems} problem{}", if problems == 1 { "" } else { "s" }))?;
    }
    Ok(checks.iter().find_map(|check| check.kind).map_or(Outcome::Done, Outcome::Problem))
}

fn machine() -> Check {
    let cores = thread::available_parallelism().map_or_else(|_| "?".to_owned(), |cores| cores.to_string());
    let memory = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let gib = |key: &str| -> Option<f64> {
            let line = text.lines().find(|line| line.starts_with(key))?;
            Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0 / 1024.0)
        };
        Some(format!(", {:.1} of {:.1} GiB memory free", gib("MemAvailable:")?, gib("MemTotal:")?))
    });
    let detail = format!(
        "{} {}, {cores} cores{}",
        std::env::consts::OS,
        std::env::consts::ARCH,
        memory.unwrap_or_default()
    );
    Check::good("machine", detail)
}

fn gdal() -> Check {
    let (present, missing) = raster::driver_names();
    let mut detail = format!("{}, formats: {}", raster::library_version(), present.join(" "));
    if !missing.is_empty() {
        detail.push_str(&format!(" (not in this build: {})", missing.join(" ")));
    }
    detail.push_str(&format!("; vector outputs: {}", vector::format_names().join(" ")));
    Check::good("GDAL", detail)
}

fn onnx_runtime(settings: &Settings) -> Vec<Check> {
    let options = RuntimeOptions { library: settings.ort_library.clone(), threads: settings.threads };
    match Runtime::start(&options) {
        Ok(runtime) => {
            let providers: Vec<&str> = runtime.providers().iter().map(|provider| provider.name()).collect();
            vec![
                Check::good(
                    "ONNX Runtime",
                    format!("{} ({})", runtime.library().display(), runtime.build_info()),
                ),
                Check::good(
                    "providers",
                    format!("{} in this library; {} threads", providers.join(", "), runtime.threads()),
                ),
            ]
        }
        Err(error) => vec![Check::bad("ONNX Runtime", &Error::from(error))],
    }
}

fn packages() -> Check {
    let names: Vec<String> = found_packages().iter().map(|path| path.display().to_string()).collect();
    Check::good("packages", if names.is_empty() { "none found".to_owned() } else { names.join(", ") })
}

/// The package that `--model` names: its hashes, and a real session of every graph on the provider that was asked for.
fn model(settings: &Settings) -> Vec<Check> {
    let package = settings
        .model_directory()
        .map_err(anyhow::Error::from)
        .and_then(|directory| Ok(ModelPackage::open(&directory).map_err(Error::from)?));
    let package = match package {
        Ok(package) => package,
        Err(error) => return vec![Check::failed("model", &error)],
    };
    let intact = match package.verify() {
        Ok(()) => Check::good("model", format!("{} in {}, intact", package.id(), package.root().display())),
        Err(error) => return vec![Check::bad("model", &Error::from(error))],
    };
    let running = match settings.load_engine() {
        Ok(engine) => Check::good("inference", describe(&engine)),
        Err(error) => Check::failed("inference", &error),
    };
    vec![intact, running]
}

fn describe(engine: &Engine) -> String {
    let (provider, variant) = (engine.provider(), engine.variant());
    format!("the graphs run on {provider}, variant {variant} (vision encoder: {})", engine.vision_graph())
}

/// Outputs and their journals go where the user says, mostly here.
fn writable() -> Check {
    match tempfile_here() {
        Ok(()) => Check::good("directory", "the current directory is writable"),
        Err(error) => Check::good(
            "directory",
            format!("the current directory is not writable ({error}): name outputs elsewhere"),
        ),
    }
}

fn tempfile_here() -> std::io::Result<()> {
    let path = format!(".rsmoe-doctor-{}", std::process::id());
    fs::write(&path, b"rsmoe")?;
    fs::remove_file(&path)
}
