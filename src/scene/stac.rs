//! The output of a past run as a STAC item: metadata for a catalogue, with the captions as its asset.
//!
//! [STAC](https://stacspec.org) 1.1.0 with the extensions `processing` 1.1.0 and, where the reference system has a code,
//! `projection` 2.0.0. The model is linked as the [machine learning model extension](https://github.com/stac-extensions/mlm) says: by a
//! `derived_from` link with `mlm:name`. The extension itself is for items that describe a model, and is not declared.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::past::{self, Existing, JOURNAL_EXTENSION, PastRunError};
use super::settings::OutputFormat;
use super::{ConvertSummary, RunFacts, SceneDigest, SceneError};
use crate::raster::Acquisition;
use crate::stac::{self, STAC_SUFFIX, VERSION};
use crate::vector::VectorFormat;

const PROCESSING: &str = "https://stac-extensions.github.io/processing/v1.1.0/schema.json";
const PROJECTION: &str = "https://stac-extensions.github.io/projection/v2.0.0/schema.json";

/// What an item says that no journal knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StacItem {
    /// When the scene was taken; `None`: as its run was told, or else as its file says.
    pub acquired: Option<Acquisition>,
    /// Where the STAC item of the model is, if it has one.
    pub model_item: Option<String>,
    /// Where the STAC items of the scene are.
    pub derived_from: Vec<String>,
}

/// Writes the STAC item of an output of a run (or of its journal) to `out`.
///
/// # Errors
/// [`SceneError::Past`], [`SceneError::Busy`], [`SceneError::Unwritable`]; [`SceneError::NoAcquisitionTime`] if nobody says when the
/// scene was taken.
pub fn write_stac(
    source: &Path,
    out: &Path,
    existing: Existing,
    item: &StacItem,
) -> Result<ConvertSummary, SceneError> {
    let mut journal = past::open(source)?;
    let digest = SceneDigest::of(&mut journal)?;
    let (facts, counts) = (journal.facts(), journal.counts());
    let captions = captions_of(source)?;
    let acquired = item.acquired.as_ref().or_else(|| facts.acquired());
    let acquired = acquired.ok_or_else(|| SceneError::NoAcquisitionTime { path: source.to_path_buf() })?;
    if existing == Existing::Keep && out.exists() {
        return Err(PastRunError::Occupied { path: out.to_path_buf() }.into());
    }
    let value = describe(facts, &digest, acquired, item, &asset(&captions, out)?, out);
    stac::write(out, &value).map_err(|source| SceneError::Unwritable { path: out.to_path_buf(), source })?;
    Ok(ConvertSummary { counts, total: facts.tile_count(), shard: facts.shard })
}

/// The output that belongs to what was named, which may be its journal.
fn captions_of(source: &Path) -> Result<PathBuf, SceneError> {
    let is_journal = source.extension().is_some_and(|extension| extension == JOURNAL_EXTENSION);
    let captions = if is_journal { source.with_extension("") } else { source.to_path_buf() };
    if captions.is_file() {
        return Ok(captions);
    }
    let problem = format!("{} is not there, and an item needs its asset", captions.display());
    Err(PastRunError::NotARun { path: source.to_path_buf(), problem }.into())
}

fn describe(
    facts: &RunFacts,
    digest: &SceneDigest,
    acquired: &Acquisition,
    item: &StacItem,
    asset: &Value,
    out: &Path,
) -> Value {
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let id = &name[..name.len() - STAC_SUFFIX.len()];
    let mut extensions = vec![PROCESSING];
    let mut properties = Map::new();
    let mut put = |name: &str, value: Value| properties.insert(name.to_owned(), value);
    if let Some(end) = &acquired.end {
        put("datetime", Value::Null);
        put("start_datetime", json!(acquired.time));
        put("end_datetime", json!(end));
    } else {
        put("datetime", json!(acquired.time));
    }
    if let Some(summary) = digest.summary() {
        put("description", json!(summary));
    }
    put("processing:software", json!({"rsmoe": facts.version}));
    if let Some(code) = facts.raster.crs.as_ref().filter(|crs| is_code(crs)) {
        extensions.push(PROJECTION);
        put("proj:code", json!(code));
    }
    put("rsmoe:model", json!(facts.model.model));
    put("rsmoe:provider", json!(facts.model.provider));
    put("rsmoe:variant", json!(facts.model.variant));
    put("rsmoe:style", json!(facts.style));
    put("rsmoe:questions", json!(facts.questions));
    put("rsmoe:answers", json!(digest.answers));
    put("rsmoe:counts", json!(digest.counts));
    put("rsmoe:datetime_source", json!(acquired.source));
    let mut feature = json!({
        "type": "Feature", "stac_version": VERSION, "stac_extensions": extensions, "id": id,
        "geometry": facts.raster.footprint.as_ref().map(|footprint| &footprint.geometry),
    });
    if let Some(footprint) = &facts.raster.footprint {
        feature["bbox"] = json!(footprint.bbox);
    }
    feature["properties"] = Value::Object(properties);
    feature["links"] = json!(links(facts, item));
    feature["assets"] = json!({"captions": asset});
    feature
}

/// True for `EPSG:32621` and the like, false for the name of a reference system.
fn is_code(crs: &str) -> bool {
    crs.split_once(':').is_some_and(|(authority, code)| {
        authority.chars().all(|letter| letter.is_ascii_alphanumeric())
            && code.chars().all(|digit| digit.is_ascii_digit())
    })
}

fn links(facts: &RunFacts, item: &StacItem) -> Vec<Value> {
    let link = |href: &String| json!({"rel": "derived_from", "href": href, "type": "application/geo+json"});
    let mut links: Vec<Value> = item.derived_from.iter().map(link).collect();
    if let Some(href) = &item.model_item {
        let mut model = link(href);
        // The name without its digest: that is what the model's own item is called.
        model["mlm:name"] = json!(facts.model.model.split('@').next());
        links.push(model);
    }
    links
}

/// The captions' file, named as it is seen from the item.
fn asset(captions: &Path, out: &Path) -> Result<Value, SceneError> {
    let unreadable = |source| SceneError::JournalUnreadable { path: captions.to_path_buf(), source };
    let captions = fs::canonicalize(captions).map_err(unreadable)?;
    let place = fs::canonicalize(stac::place_of(out))
        .map_err(|source| SceneError::Unwritable { path: out.to_path_buf(), source })?;
    let href = stac::reference(&captions, &place);
    let media_type = match OutputFormat::of(&captions)? {
        OutputFormat::GeoJson => "application/geo+json",
        OutputFormat::GeoJsonLines => "application/x-ndjson",
        OutputFormat::Csv => "text/csv",
        OutputFormat::Vector(VectorFormat::GeoPackage) => "application/geopackage+sqlite3",
        OutputFormat::Vector(VectorFormat::FlatGeobuf) => "application/vnd.flatgeobuf",
        OutputFormat::Vector(VectorFormat::GeoParquet) => "application/vnd.apache.parquet",
    };
    Ok(
        json!({"href": href, "type": media_type, "title": "Captions, one feature for each tile", "roles": ["data"]}),
    )
}
