//! A tile as a row: the columns of CSV, `GeoPackage`, `FlatGeobuf` and `GeoParquet`.

use super::{RunFacts, TileRecord, id};
use crate::scene::TileAnswer;
use crate::vector::{FieldKind, Value};

/// The experts that every tile has a column for.
pub(super) const EXPERTS: [&str; 3] = ["theme", "objects", "relationship"];

/// The columns that every run has.
pub(super) const COLUMNS: [(&str, FieldKind); 15] = [
    ("id", FieldKind::Text),
    ("status", FieldKind::Text),
    ("reason", FieldKind::Text),
    ("caption", FieldKind::Text),
    ("confidence", FieldKind::Real),
    (EXPERTS[0], FieldKind::Text),
    (EXPERTS[1], FieldKind::Text),
    (EXPERTS[2], FieldKind::Text),
    ("col", FieldKind::Integer),
    ("row", FieldKind::Integer),
    ("width", FieldKind::Integer),
    ("height", FieldKind::Integer),
    ("valid_fraction", FieldKind::Real),
    ("gsd_m", FieldKind::Real),
    ("familiarity", FieldKind::Real),
];

/// The values of [`COLUMNS`].
pub(super) fn values(facts: &RunFacts, record: &TileRecord) -> Vec<Value> {
    let text = record.outcome.text();
    let window = record.window;
    let mut values: Vec<Value> = vec![
        id(facts, record).as_str().into(),
        record.outcome.status().into(),
        record.outcome.reason().into(),
        text.map(|text| text.caption.as_str()).into(),
        text.map(|text| text.confidence).into(),
    ];
    values.extend(EXPERTS.iter().map(|name| expert(record, name).into()));
    values.extend([window.col, window.row, window.width, window.height].map(Value::from));
    values.extend([record.valid_fraction, record.gsd_m].map(Value::from));
    values.push(text.and_then(|text| text.familiarity).into());
    values
}

/// What an expert wrote about a tile.
pub(super) fn expert<'a>(record: &'a TileRecord, name: &str) -> Option<&'a str> {
    let text = record.outcome.text()?;
    text.experts.iter().find(|expert| expert.name == name).map(|expert| expert.text.as_str())
}

/// The answer to a question about a tile.
pub(super) fn answer<'a>(record: &'a TileRecord, question: &str) -> Option<&'a TileAnswer> {
    record.outcome.text()?.answers.iter().find(|answer| answer.question == question)
}
