//! Comma-separated values, with the outline as well-known text.

use serde_json::Value as Json;

use super::table::{self, COLUMNS};
use super::{RunFacts, TileRecord};
use crate::vector::Value;

/// The names of the columns: those of every run, the geometry, the questions.
pub(super) fn head(facts: &RunFacts) -> String {
    let fixed = COLUMNS.iter().map(|(name, _)| *name).chain(["geometry"]).map(str::to_owned);
    joined(&fixed.chain(facts.questions.iter().cloned()).collect::<Vec<_>>())
}

/// The line of a tile.
pub(super) fn line(facts: &RunFacts, record: &TileRecord) -> String {
    let shown = |value| match value {
        Value::Null => String::new(),
        Value::Text(text) => text,
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
    };
    let mut cells: Vec<String> = table::values(facts, record).into_iter().map(shown).collect();
    cells.push(record.geometry.as_ref().map(well_known_text).unwrap_or_default());
    let answer = |question: &String| {
        table::answer(record, question).map(|answer| answer.answer.clone()).unwrap_or_default()
    };
    cells.extend(facts.questions.iter().map(answer));
    joined(&cells)
}

/// A polygon or multipolygon as well-known text.
fn well_known_text(geometry: &Json) -> String {
    fn list(value: &Json) -> String {
        let parts = value.as_array().map_or(&[][..], Vec::as_slice);
        let is_point = parts.first().is_some_and(Json::is_number);
        let texts: Vec<String> =
            parts.iter().map(|part| if is_point { part.to_string() } else { list(part) }).collect();
        if is_point { texts.join(" ") } else { format!("({})", texts.join(",")) }
    }
    let kind = geometry["type"].as_str().unwrap_or_default().to_ascii_uppercase();
    format!("{kind} {}", list(&geometry["coordinates"]))
}

/// One line as RFC 4180 has it, ended as text files are here.
fn joined(cells: &[String]) -> String {
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
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_with_commas_and_quotes_are_quoted() {
        let cells = ["a".to_owned(), "b, \"c\"".to_owned(), "d\ne".to_owned()];
        assert_eq!(joined(&cells), "a,\"b, \"\"c\"\"\",\"d\ne\"\n");
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
