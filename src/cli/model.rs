//! `rsmoe model`: packages that are here, what is in them, are they intact.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::args::ModelCommand;
use super::inputs::error_json;
use super::output::{self, CliError, Outcome};
use super::settings::{Settings, model_places};
use crate::error::Error;
use crate::expert::MemoryLimit;
use crate::manifest::{ConnectorSpec, MANIFEST_FILE, Manifest, ModelPackage, ProvenanceValue, RouterSpec};
use crate::stac;

pub(crate) fn run(command: &ModelCommand, settings: &Settings) -> anyhow::Result<Outcome> {
    match command {
        ModelCommand::List => list(settings),
        ModelCommand::Info => info(settings),
        ModelCommand::Verify => verify(settings),
        ModelCommand::ExportMlm { out, overwrite } => export_mlm(out, *overwrite, settings),
    }
}

/// Every package in the places where names are looked up; a name found twice is listed where it is found first.
pub(crate) fn found_packages() -> Vec<PathBuf> {
    let mut packages: Vec<PathBuf> = Vec::new();
    for place in model_places() {
        let Ok(entries) = fs::read_dir(&place) else { continue };
        let mut here: Vec<PathBuf> = entries
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|path| path.join(MANIFEST_FILE).is_file())
            .collect();
        here.sort();
        for package in here {
            if !packages.iter().any(|known| known.file_name() == package.file_name()) {
                packages.push(package);
            }
        }
    }
    packages
}

fn list(settings: &Settings) -> anyhow::Result<Outcome> {
    let packages = found_packages();
    let rows: Vec<Value> = packages.iter().map(|path| list_row(path)).collect();
    if settings.json {
        output::json(&rows)?;
        return Ok(Outcome::Done);
    }
    if packages.is_empty() {
        output::note("no model packages in:");
        for place in model_places() {
            output::note(&format!("  {}", place.display()));
        }
        output::note("hint: `make model` builds rsmoe-mini");
    }
    for row in rows {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        match row["error"]["message"].as_str() {
            Some(message) => output::line(&format!("{}\tinvalid: {message}", text("path")))?,
            None => output::line(&format!(
                "{}\t{:.0} MB\t{}\t{}",
                text("id"),
                row["bytes"].as_u64().unwrap_or_default() as f64 / 1e6,
                text("path"),
                text("description")
            ))?,
        }
    }
    Ok(Outcome::Done)
}

fn list_row(path: &Path) -> Value {
    match ModelPackage::open(path) {
        Ok(package) => {
            let manifest = package.manifest();
            json!({
                "id": package.id(),
                "path": path,
                "description": manifest.description,
                "bytes": package_bytes(manifest),
                "variants": manifest.built_variants().iter().map(ToString::to_string).collect::<Vec<_>>(),
            })
        }
        Err(error) => json!({"path": path, "error": error_json(&Error::from(error))}),
    }
}

fn package_bytes(manifest: &Manifest) -> u64 {
    manifest.files.values().map(|file| file.size).sum()
}

fn info(settings: &Settings) -> anyhow::Result<Outcome> {
    let package = ModelPackage::open(&settings.model_directory()?).map_err(Error::from)?;
    let manifest = package.manifest();
    if settings.json {
        output::json(&json!({"id": package.id(), "path": package.root(), "manifest": manifest}))?;
        return Ok(Outcome::Done);
    }
    let preprocess = &manifest.vision_encoder.preprocess;
    let connector = match &manifest.connector {
        ConnectorSpec::Projection { image_tokens, .. } => format!("projected to {image_tokens} image tokens"),
        ConnectorSpec::Qformer { image_tokens, .. } => {
            format!("{image_tokens} image tokens through a Q-Former")
        }
    };
    let router = match &manifest.router {
        RouterSpec::Generative { .. } => "generative: writes the experts' prompts from the image",
        RouterSpec::Fixed => "fixed: the experts' own prompts",
    };
    let experts: Vec<String> =
        manifest.experts.list.iter().map(|expert| format!("{} ({})", expert.name, expert.prompt)).collect();
    let variants: Vec<String> = manifest.built_variants().iter().map(ToString::to_string).collect();
    let rows = [
        ("package", package.id()),
        ("path", package.root().display().to_string()),
        ("description", manifest.description.clone()),
        ("license", format!("{}: {}", manifest.license.id, manifest.license.notice)),
        ("size", format!("{:.1} MB in {} files", package_bytes(manifest) as f64 / 1e6, manifest.files.len())),
        ("variants", variants.join(", ")),
        ("vision encoder", vision_graphs(manifest)),
        ("weights in memory", weights(manifest)),
        ("input", format!("{} x {} px, {}", preprocess.width, preprocess.height, connector)),
        (
            "ground resolution",
            format!(
                "{} to {} m (of the training imagery)",
                manifest.ground_resolution_m.min, manifest.ground_resolution_m.max
            ),
        ),
        ("experts", format!("{}: {}", manifest.experts.layout.name(), experts.join("; "))),
        ("router", router.to_owned()),
        ("confidence", confidence(manifest)),
    ];
    for (name, value) in rows {
        output::line(&format!("{name:18} {value}"))?;
    }
    for (name, value) in &manifest.provenance {
        let value = match value {
            ProvenanceValue::Text(text) => text.clone(),
            ProvenanceValue::Number(number) => number.to_string(),
        };
        output::line(&format!("{name:18} {value}"))?;
    }
    Ok(Outcome::Done)
}

/// Which graph of the vision encoder each variant runs.
fn vision_graphs(manifest: &Manifest) -> String {
    let of = |variant| format!("{variant}: {}", manifest.vision_encoder.graph_of(variant));
    manifest.built_variants().into_iter().map(of).collect::<Vec<_>>().join(", ")
}

/// What `--memory-limit` may be, by variant.
fn weights(manifest: &Manifest) -> String {
    let of = |variant| {
        let (smallest, _) = MemoryLimit::smallest(manifest, variant);
        format!(
            "{variant}: {}, {smallest} with --memory-limit",
            MemoryLimit::of_everything(manifest, variant)
        )
    };
    manifest.built_variants().into_iter().map(of).collect::<Vec<_>>().join("; ")
}

fn confidence(manifest: &Manifest) -> String {
    let scaled = match manifest.vision_encoder.familiarity {
        Some(_) => "scaled by the image's familiarity",
        None => "not scaled by familiarity",
    };
    match &manifest.confidence {
        Some(spec) => format!(
            "calibrated (temperature {} of choices, {} of texts), {scaled}; \"not sure\" below {}, experts silent below {}",
            spec.temperature.choice, spec.temperature.text, spec.unsure_below, spec.silent_below
        ),
        None => format!("not calibrated, {scaled}; always an answer, no expert silent"),
    }
}

/// Writes the package's STAC item.
fn export_mlm(out: &Path, overwrite: bool, settings: &Settings) -> anyhow::Result<Outcome> {
    if !stac::is_stac(out) {
        return Err(CliError::usage(
            format!("{}: a STAC item's name ends in {}", out.display(), stac::STAC_SUFFIX),
            format!("name it model{}", stac::STAC_SUFFIX),
        )
        .into());
    }
    if out.exists() && !overwrite {
        let message = format!("{}: is there already", out.display());
        return Err(CliError::usage(message, "name another file, or --overwrite to replace it").into());
    }
    let package = ModelPackage::open(&settings.model_directory()?).map_err(Error::from)?;
    let variant = settings.variant.unwrap_or(package.manifest().variants.default);
    package.require_variant(variant).map_err(Error::from)?;
    let written = fs::canonicalize(stac::place_of(out)).and_then(|place| {
        let root = fs::canonicalize(package.root())?;
        stac::write(out, &stac::model_item(&package, variant, &root, &place))
    });
    written.map_err(|error| {
        CliError::usage(
            format!("{}: cannot be written: {error}", out.display()),
            "name a file in a directory that may be written to",
        )
    })?;
    if settings.json {
        output::json(&json!({"id": package.id(), "out": out, "variant": variant.to_string()}))?;
    } else if !settings.quiet {
        output::note(&format!("{} -> {}", package.id(), out.display()));
    }
    Ok(Outcome::Done)
}

/// Checks hashes of all files, then loads every built variant, which checks the graphs against the manifest.
fn verify(settings: &Settings) -> anyhow::Result<Outcome> {
    let directory = settings.model_directory()?;
    let package = ModelPackage::open(&directory).map_err(Error::from)?;
    package.verify().map_err(Error::from)?;
    let mut checked = Vec::new();
    for variant in package.manifest().built_variants() {
        settings.load_engine_of(Some(variant))?.check_decoders()?;
        checked.push(variant.to_string());
    }
    let files = package.manifest().files.len();
    if settings.json {
        output::json(
            &json!({"id": package.id(), "files": files, "graphs_of_variants": checked, "intact": true}),
        )?;
    } else {
        output::line(&format!(
            "{}: {files} files match their hashes; the graphs match the manifest ({})",
            package.id(),
            checked.join(", ")
        ))?;
    }
    Ok(Outcome::Done)
}
