//! A run as a layer of a vector file.

use std::collections::HashSet;

use super::table::{self, COLUMNS};
use super::{RunFacts, TileRecord, geojson, records};
use crate::scene::journal::Journal;
use crate::scene::{SceneDigest, SceneError, TileAnswer};
use crate::vector::{Feature, Field, FieldKind, Layer, Outline, Shape, Style, Value};

/// Name of the layer.
const NAME: &str = "captions";
/// Columns that formats add on their own.
const RESERVED: [&str; 5] = ["fid", "ogc_fid", "geom", "geometry", "bbox"];
/// What is written about each answer: the end of the column's name, its kind, its value.
type Part = (&'static str, FieldKind, fn(&TileAnswer) -> Value);
const PARTS: [Part; 3] = [
    ("", FieldKind::Text, |answer| answer.answer.as_str().into()),
    (" (confidence)", FieldKind::Real, |answer| answer.confidence.into()),
    (" (said)", FieldKind::Text, |answer| answer.said.as_deref().into()),
];

/// The layer of a run. Reads all tiles for what their geometries have in common.
///
/// # Errors
/// [`SceneError::JournalUnreadable`].
pub(super) fn describe(journal: &mut Journal, digest: &SceneDigest) -> Result<Layer, SceneError> {
    let facts = journal.facts().clone();
    let (mut shape, mut is_placed) = (Shape::Polygon, true);
    for feature in features(journal) {
        match feature?.outline {
            Some(outline) if outline.shape() == Shape::MultiPolygon => shape = Shape::MultiPolygon,
            Some(_) => {}
            None => is_placed = false,
        }
    }
    let run = ("rsmoe".to_owned(), geojson::run(&facts, digest).to_string());
    let summary = digest.summary().map(|text| ("summary".to_owned(), text));
    Ok(Layer {
        name: NAME.to_owned(),
        fields: fields(&facts.questions),
        shape,
        is_placed,
        style: Style { name: "rsmoe captions".to_owned(), qml: include_str!("style.qml").to_owned() },
        facts: [run].into_iter().chain(summary).collect(),
    })
}

/// The features of a run, in the order of the grid.
pub(super) fn features(journal: &mut Journal) -> impl Iterator<Item = Result<Feature, SceneError>> {
    let facts = journal.facts().clone();
    let path = journal.path().to_path_buf();
    records(journal).map(move |record| {
        let record = record?;
        let outline = record.geometry.as_ref().map(|geometry| {
            Outline::from_geojson(geometry).ok_or_else(|| SceneError::JournalUnreadable {
                path: path.clone(),
                source: std::io::Error::other(format!("tile {}: the outline is no polygon", record.index)),
            })
        });
        Ok(Feature { values: values(&facts, &record), outline: outline.transpose()? })
    })
}

/// The columns: those of every run, and three for each question, named by it.
fn fields(questions: &[String]) -> Vec<Field> {
    let mut fields: Vec<Field> =
        COLUMNS.iter().map(|&(name, kind)| Field { name: name.to_owned(), kind }).collect();
    let mut taken: HashSet<String> = RESERVED.into_iter().map(str::to_owned).collect();
    taken.extend(fields.iter().map(|field| field.name.to_lowercase()));
    for question in questions {
        let names = (1..).map(|number| match number {
            1 => question.clone(),
            _ => format!("{question} {number}"),
        });
        let is_free = |name: &String| {
            PARTS.iter().all(|(end, ..)| !taken.contains(&format!("{name}{end}").to_lowercase()))
        };
        let name = names.into_iter().find(is_free).unwrap_or_default();
        for (end, kind, _) in PARTS {
            let name = format!("{name}{end}");
            taken.insert(name.to_lowercase());
            fields.push(Field { name, kind });
        }
    }
    fields
}

/// The values of [`fields`].
fn values(facts: &RunFacts, record: &TileRecord) -> Vec<Value> {
    let mut values = table::values(facts, record);
    for question in &facts.questions {
        let answer = table::answer(record, question);
        values.extend(PARTS.iter().map(|(_, _, value)| answer.map_or(Value::Null, value)));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_questions_have_names_of_their_own() {
        let questions = ["Water?", "caption", "WATER?", "geom", "water? 2"].map(str::to_owned);
        let names: Vec<String> = fields(&questions).into_iter().map(|field| field.name).collect();
        let answers: Vec<&str> = names[COLUMNS.len()..].iter().step_by(3).map(String::as_str).collect();
        assert_eq!(answers, ["Water?", "caption 2", "WATER? 2", "geom 2", "water? 2 2"]);
        assert_eq!(names[COLUMNS.len() + 1], "Water? (confidence)");
        let distinct: HashSet<String> = names.iter().map(|name| name.to_lowercase()).collect();
        assert_eq!(distinct.len(), names.len());
    }
}
