//! JSON Schemas are generated from the Rust types and committed.

use std::path::Path;

use rsmoe::bench::BenchReport;
use rsmoe::cli::scene_event_schema;
use rsmoe::manifest::Manifest;
use serde_json::Value;

/// Set to write the schemas instead of comparing them.
const UPDATE: &str = "RSMOE_UPDATE_SCHEMAS";

fn compare(file: &str, schema: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(file);
    let mut generated = serde_json::to_string_pretty(schema).unwrap();
    generated.push('\n');
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(committed, generated, "write it anew: {UPDATE}=1 cargo test --test model schema");
}

#[test]
fn the_committed_schema_of_the_manifest_is_up_to_date() {
    compare("manifest.schema.json", &Manifest::json_schema());
}

#[test]
fn the_committed_schema_of_the_bench_report_is_up_to_date() {
    compare("bench.schema.json", &BenchReport::json_schema());
}

#[test]
fn the_committed_schema_of_the_events_of_a_scene_is_up_to_date() {
    compare("scene-event.schema.json", &scene_event_schema());
}
