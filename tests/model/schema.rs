//! The JSON Schema of the manifest is generated from the Rust types and committed.

use std::path::Path;

use rsmoe::manifest::Manifest;

/// Set to write the schema instead of comparing it.
const UPDATE: &str = "RSMOE_UPDATE_SCHEMAS";

#[test]
fn the_committed_schema_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/manifest.schema.json");
    let mut generated = serde_json::to_string_pretty(&Manifest::json_schema()).unwrap();
    generated.push('\n');
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(committed, generated, "write it anew: {UPDATE}=1 cargo test --test model schema");
}
