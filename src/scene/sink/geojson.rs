//! GeoJSON features.

use serde_json::{Map, Value, json};

use super::table::{EXPERTS, expert};
use super::{RunFacts, TileRecord, id};
use crate::scene::SceneDigest;

/// What ends a feature collection.
pub(super) const FOOT: &str = "\n]}\n";

/// What begins a feature collection: the facts of the run.
pub(super) fn head(facts: &RunFacts, digest: &SceneDigest) -> String {
    format!("{{\"type\":\"FeatureCollection\",\"rsmoe\":{},\"features\":[\n", run(facts, digest))
}

/// The facts of a run with its counts, the answers of its tiles, and its summary if that was asked for.
pub(super) fn run(facts: &RunFacts, digest: &SceneDigest) -> Value {
    let mut run = serde_json::to_value(facts).expect("facts are plain data");
    run["counts"] = serde_json::to_value(digest.counts).expect("counts are plain data");
    if digest.not_reached > 0 {
        run["counts"]["not_reached"] = json!(digest.not_reached);
    }
    if !digest.answers.is_empty() {
        run["answers"] = json!(digest.answers);
    }
    if let Some(text) = digest.summary() {
        run["summary"] = json!({"text": text, "overview": digest.overview, "themes": digest.themes});
    }
    run
}

/// A feature. Skipped and failed tiles have no caption, and a reason.
pub(super) fn feature(facts: &RunFacts, record: &TileRecord) -> Value {
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
