//! The output of a past run as a STAC item: metadata for a catalogue, with the captions as its asset.
//!
//! [STAC](https://stacspec.org) 1.1.0 with the extensions `processing` 1.2.0 and, where the reference system has a code,
//! `projection` 2.0.0. The model is linked as the [machine learning model extension](https://github.com/stac-extensions/mlm) says: by a
//! `derived_from` link with `mlm:name`. The extension itself is for items that describe a model, and is not declared.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::past::{self, Existing, JOURNAL_EXTENSION, PastRunError};
use super::settings::OutputFormat;
use super::{ConvertSummary, RunFacts, SceneDigest, SceneError};
use crate::raster::Acquisition;
use crate::vector::VectorFormat;

/// How the name of an item ends.
pub const STAC_SUFFIX: &str = ".stac.json";
const VERSION: &str = "1.1.0";
const PROCESSING: &str = "https://stac-extensions.github.io/processing/v1.2.0/schema.json";
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

/// True if a file's name asks for a STAC item.
pub fn is_stac(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    // What stands before the suffix is the item's identity.
    name.strip_suffix(STAC_SUFFIX).is_some_and(|id| !id.is_empty())
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
    write_in_one_piece(out, &value)
        .map_err(|source| SceneError::Unwritable { path: out.to_path_buf(), source })?;
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
    let place = out.parent().filter(|place| !place.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let place = fs::canonicalize(place)
        .map_err(|source| SceneError::Unwritable { path: out.to_path_buf(), source })?;
    let href = reference(&captions, &place);
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

/// A file as seen from a directory, both absolute: a relative reference (RFC 3986), so that both can be moved together. What means
/// something else in a reference is percent-encoded; letters of other scripts stay (RFC 3987).
fn reference(file: &Path, place: &Path) -> String {
    let shared = file.components().zip(place.components()).take_while(|(file, place)| file == place).count();
    let up = place.components().skip(shared).map(|_| "..".to_owned());
    let down = file.components().skip(shared).map(|part| encoded(part.as_os_str().as_encoded_bytes()));
    let parts: Vec<String> = up.chain(down).collect();
    let parts = parts.join("/");
    if parts.starts_with("../") { parts } else { format!("./{parts}") }
}

/// A name as a segment of a reference.
fn encoded(name: &[u8]) -> String {
    let mut segment = String::new();
    let escape = |segment: &mut String, bytes: &[u8]| {
        for byte in bytes {
            segment.push_str(&format!("%{byte:02X}"));
        }
    };
    for chunk in name.utf8_chunks() {
        for letter in chunk.valid().chars() {
            let is_plain = letter.is_alphanumeric() || "-._~!$&'()*+,;=:@".contains(letter);
            if is_plain {
                segment.push(letter);
            } else {
                escape(&mut segment, letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        escape(&mut segment, chunk.invalid());
    }
    segment
}

/// Writes a file beside `out`, which then takes its place.
fn write_in_one_piece(out: &Path, value: &Value) -> std::io::Result<()> {
    let place = out.parent().filter(|place| !place.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".stac-");
    // A temporary file is for its owner alone; this one becomes an output, which is for whom the umask says.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(place)?;
    file.write_all(format!("{value:#}\n").as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(out).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_leads_from_the_item_to_its_asset_whatever_the_names_hold() {
        let cases = [
            ("/a/b/captions.geojson", "/a/b", "./captions.geojson"),
            ("/a/b/c/captions.geojson", "/a/b", "./c/captions.geojson"),
            ("/a/c/captions.geojson", "/a/b", "../c/captions.geojson"),
            ("/a/b/50 % of #1?.geojson", "/a/b", "./50%20%25%20of%20%231%3F.geojson"),
            ("/a/b/a:b\"<>[]\\^`{|}.csv", "/a/b", "./a:b%22%3C%3E%5B%5D%5C%5E%60%7B%7C%7D.csv"),
            ("/a/b/été.csv", "/a/b", "./été.csv"),
        ];
        for (file, place, expected) in cases {
            assert_eq!(reference(Path::new(file), Path::new(place)), expected, "{file}");
        }
    }

    #[test]
    fn an_item_needs_a_name_before_its_suffix() {
        assert!(is_stac(Path::new("a/captions.stac.json")) && is_stac(Path::new("CAPTIONS.STAC.JSON")));
        assert!(
            !is_stac(Path::new("a/.stac.json"))
                && !is_stac(Path::new("captions.json"))
                && !is_stac(Path::new("/"))
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_encoded_one_by_one() {
        assert_eq!(encoded(b"a\xff\xfe.csv"), "a%FF%FE.csv");
    }
}
