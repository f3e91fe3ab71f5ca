//! The output file, written from the journal in one piece.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::journal::{Journal, journal_path};
use super::settings::{EarlierRun, OutputFormat};
use super::{RunFacts, SceneError, TileRecord};

/// The experts that every feature has a field for.
const EXPERTS: [&str; 3] = ["theme", "objects", "relationship"];

/// Checks, before any work, that the output can be written and is not somebody else's file.
///
/// # Errors
/// [`SceneError::Unwritable`], [`SceneError::OutputExists`].
pub(super) fn check_writable(out: &Path, earlier: EarlierRun) -> Result<(), SceneError> {
    let unwritable = |source| SceneError::Unwritable { path: out.to_path_buf(), source };
    if out.is_dir() {
        return Err(unwritable(io::Error::from(io::ErrorKind::IsADirectory)));
    }
    let is_foreign =
        fs::metadata(out).is_ok_and(|metadata| metadata.len() > 0) && !journal_path(out).exists();
    if is_foreign && earlier == EarlierRun::Resume {
        return Err(SceneError::OutputExists { path: out.to_path_buf() });
    }
    let partial = partial_path(out);
    File::create(&partial).and_then(|_| fs::remove_file(&partial)).map_err(unwritable)
}

/// Writes all tiles of the journal to `out`: to a file beside it first, which then takes its place.
///
/// # Errors
/// [`SceneError::Unwritable`], [`SceneError::JournalUnreadable`].
pub(super) fn write(out: &Path, format: OutputFormat, journal: &mut Journal) -> Result<(), SceneError> {
    let unwritable = |source| SceneError::Unwritable { path: out.to_path_buf(), source };
    let partial = partial_path(out);
    let mut writer = BufWriter::new(File::create(&partial).map_err(unwritable)?);
    let facts = journal.facts().clone();
    writer.write_all(head(format, &facts, journal).as_bytes()).map_err(unwritable)?;
    let mut separator = "";
    for index in 0..facts.grid.count() {
        let Some(record) = journal.read(index)? else { continue };
        let line = match format {
            OutputFormat::GeoJson => format!("{separator}{}", feature(&facts, &record)),
            OutputFormat::GeoJsonLines => format!("{}\n", feature(&facts, &record)),
            OutputFormat::Csv => csv_line(&cells(&facts, &record)),
        };
        writer.write_all(line.as_bytes()).map_err(unwritable)?;
        separator = ",\n";
    }
    if format == OutputFormat::GeoJson {
        writer.write_all(b"\n]}\n").map_err(unwritable)?;
    }
    let file = writer.into_inner().map_err(|error| unwritable(error.into_error()))?;
    file.sync_all().map_err(unwritable)?;
    fs::rename(&partial, out).map_err(unwritable)
}

fn partial_path(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

fn head(format: OutputFormat, facts: &RunFacts, journal: &Journal) -> String {
    match format {
        OutputFormat::GeoJson => {
            let mut run = serde_json::to_value(facts).expect("facts are plain data");
            run["counts"] = serde_json::to_value(journal.counts()).expect("counts are plain data");
            format!("{{\"type\":\"FeatureCollection\",\"rsmoe\":{run},\"features\":[\n")
        }
        OutputFormat::GeoJsonLines => String::new(),
        OutputFormat::Csv => {
            let fixed = [
                "id",
                "status",
                "reason",
                "caption",
                "confidence",
                "theme",
                "objects",
                "relationship",
                "col",
                "row",
                "width",
                "height",
                "valid_fraction",
                "gsd_m",
                "familiarity",
                "geometry",
            ];
            let names: Vec<String> =
                fixed.into_iter().map(str::to_owned).chain(facts.questions.iter().cloned()).collect();
            csv_line(&names)
        }
    }
}

/// Identity of a tile within its scene: its place in the grid.
fn id(facts: &RunFacts, record: &TileRecord) -> String {
    let columns = facts.grid.columns();
    format!("r{:04}c{:04}", record.index / columns, record.index % columns)
}

fn expert<'a>(record: &'a TileRecord, name: &str) -> Option<&'a str> {
    let text = record.outcome.text()?;
    text.experts.iter().find(|expert| expert.name == name).map(|expert| expert.text.as_str())
}

/// A GeoJSON feature. Skipped and failed tiles have no caption, and a reason.
fn feature(facts: &RunFacts, record: &TileRecord) -> Value {
    let text = record.outcome.text();
    let mut properties = Map::new();
    properties.insert("id".to_owned(), json!(id(facts, record)));
    properties.insert("status".to_owned(), json!(record.outcome.status()));
    if let Some(reason) = record.outcome.reason() {
        properties.insert("reason".to_owned(), json!(reason));
    }
    properties.insert("caption".to_owned(), json!(text.map(|text| &text.caption)));
    properties.insert("confidence".to_owned(), json!(text.map(|text| text.confidence)));
    properties.insert("familiarity".to_owned(), json!(text.map(|text| text.familiarity)));
    for name in EXPERTS {
        properties.insert(name.to_owned(), json!(expert(record, name)));
    }
    for other in text
        .map_or(&[][..], |text| &text.experts)
        .iter()
        .filter(|expert| !EXPERTS.contains(&expert.name.as_str()))
    {
        properties.entry(other.name.clone()).or_insert_with(|| json!(other.text));
    }
    properties.insert("window".to_owned(), json!(record.window));
    properties.insert("valid_fraction".to_owned(), json!(record.valid_fraction));
    properties.insert("gsd_m".to_owned(), json!(record.gsd_m));
    properties.insert("answers".to_owned(), json!(text.map_or(&[][..], |text| &text.answers)));
    json!({"type": "Feature", "id": id(facts, record), "geometry": record.geometry, "properties": properties})
}

fn cells(facts: &RunFacts, record: &TileRecord) -> Vec<String> {
    let text = record.outcome.text();
    let shown = |number: Option<f64>| number.map(|number| number.to_string()).unwrap_or_default();
    let window = record.window;
    let mut cells = vec![
        id(facts, record),
        record.outcome.status().to_owned(),
        record.outcome.reason().unwrap_or_default().to_owned(),
        text.map(|text| text.caption.clone()).unwrap_or_default(),
        shown(text.map(|text| text.confidence)),
    ];
    cells.extend(EXPERTS.iter().map(|name| expert(record, name).unwrap_or_default().to_owned()));
    cells.extend([window.col, window.row, window.width, window.height].map(|number| number.to_string()));
    cells.extend([shown(record.valid_fraction), shown(record.gsd_m)]);
    cells.push(shown(text.and_then(|text| text.familiarity)));
    cells.push(record.geometry.as_ref().map(well_known_text).unwrap_or_default());
    for question in &facts.questions {
        let answer = text.and_then(|text| text.answers.iter().find(|answer| answer.question == *question));
        cells.push(answer.map(|answer| answer.answer.clone()).unwrap_or_default());
    }
    cells
}

/// A polygon or multipolygon as well-known text.
fn well_known_text(geometry: &Value) -> String {
    fn list(value: &Value) -> String {
        let parts = value.as_array().map_or(&[][..], Vec::as_slice);
        let is_point = parts.first().is_some_and(Value::is_number);
        let texts: Vec<String> =
            parts.iter().map(|part| if is_point { part.to_string() } else { list(part) }).collect();
        if is_point { texts.join(" ") } else { format!("({})", texts.join(",")) }
    }
    let kind = geometry["type"].as_str().unwrap_or_default().to_ascii_uppercase();
    format!("{kind} {}", list(&geometry["coordinates"]))
}

/// One line as RFC 4180 has it, ended as text files are here.
fn csv_line(cells: &[String]) -> String {
    let quoted = cells.iter().map(|cell| {
        if cell.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", cell.replace('"', "\"\""))
        } else {
            cell.clone()
        }
    });
    format!("{}\n", quoted.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_with_commas_and_quotes_are_quoted() {
        let cells = ["a".to_owned(), "b, \"c\"".to_owned(), "d\ne".to_owned()];
        assert_eq!(csv_line(&cells), "a,\"b, \"\"c\"\"\",\"d\ne\"\n");
    }

    #[test]
    fn polygons_become_well_known_text() {
        let polygon =
            json!({"type": "Polygon", "coordinates": [[[1.5, 2.0], [3.0, 2.0], [3.0, 4.0], [1.5, 2.0]]]});
        assert_eq!(well_known_text(&polygon), "POLYGON ((1.5 2.0,3.0 2.0,3.0 4.0,1.5 2.0))");
        let split = json!({"type": "MultiPolygon", "coordinates": [[[[0, 0], [1, 0], [0, 0]]], [[[5, 5], [6, 5], [5, 5]]]]});
        assert_eq!(well_known_text(&split), "MULTIPOLYGON (((0 0,1 0,0 0)),((5 5,6 5,5 5)))");
    }
}
