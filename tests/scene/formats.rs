//! `GeoPackage`, `FlatGeobuf`, `GeoParquet`: read back with other means than they were written with.

use std::fs::File;

use gdal::Dataset;
use gdal::vector::{LayerAccess, OGRFieldType, OGRwkbGeometryType};
use parquet::basic::ColumnOrder;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, RowAccessor};
use rsmoe::scene::{Existing, PastRunError, convert};

use super::*;

const EXTENSIONS: [&str; 3] = ["gpkg", "fgb", "parquet"];

/// A directory with the scene of [`scene`] run into a file of this name.
fn run_into(name: &str) -> (TempDir, SceneSettings) {
    let (directory, mut settings) = scene();
    settings.out = directory.path().join(name);
    go(&settings, &mut Stand::default()).unwrap();
    (directory, settings)
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Texts of a column of the first layer, by feature.
fn texts(path: &Path, column: &str) -> Vec<Option<String>> {
    let dataset = Dataset::open(path).unwrap();
    let mut layer = dataset.layer(0).unwrap();
    layer
        .features()
        .map(|feature| {
            let index = feature.field_index(column).unwrap();
            // What a FlatGeobuf does not hold is unset, and comes as an empty text.
            feature.field_as_string(index).unwrap().filter(|text| !text.is_empty())
        })
        .collect()
}

#[test]
fn a_geopackage_has_typed_fields_polygons_in_wgs84_and_the_facts_of_the_run() {
    let (_directory, settings) = run_into("out.gpkg");
    let dataset = Dataset::open(&settings.out).unwrap();
    let mut layer = dataset.layer_by_name("captions").unwrap();
    assert_eq!(layer.feature_count(), 35);
    assert_eq!(layer.spatial_ref().unwrap().auth_code().unwrap(), 4326);
    assert_eq!(layer.defn().geometry_type(), OGRwkbGeometryType::wkbPolygon);
    let kinds: Vec<(String, u32)> =
        layer.defn().fields().map(|field| (field.name(), field.field_type())).collect();
    let kind = |name: &str| kinds.iter().find(|(field, _)| field == name).unwrap().1;
    for name in ["id", "status", "reason", "caption", "theme", "Is it dark?", "Is it dark? (said)"] {
        assert_eq!(kind(name), OGRFieldType::OFTString, "{name}");
    }
    for name in ["confidence", "familiarity", "valid_fraction", "gsd_m", "Is it dark? (confidence)"] {
        assert_eq!(kind(name), OGRFieldType::OFTReal, "{name}");
    }
    assert_eq!(kind("col"), OGRFieldType::OFTInteger64);
    let last = layer.features().last().unwrap();
    let value = |name: &str| last.field(last.field_index(name).unwrap()).unwrap();
    assert_eq!(value("id").unwrap().into_string().unwrap(), "r0004c0006");
    assert_eq!(value("col").unwrap().into_int64().unwrap(), 84);
    assert_eq!(value("Is it dark?").unwrap().into_string().unwrap(), "yes");
    assert!(value("reason").is_none() && value("Is it dark? (said)").is_none());
    let envelope = last.geometry().unwrap().envelope();
    assert!(envelope.MinX > 9.0 && envelope.MaxX < 9.1 && envelope.MinY > 48.7, "{envelope:?}");
    let mut run = dataset.layer_by_name("run").unwrap();
    let facts = run.features().next().unwrap().field_as_string(1).unwrap().unwrap();
    let facts: Value = serde_json::from_str(&facts).unwrap();
    assert_eq!((&facts["model"], &facts["counts"]["captioned"]), (&"stand@000000000000".into(), &35.into()));
}

#[test]
fn a_geopackage_brings_its_style_along() {
    let (_directory, settings) = run_into("out.gpkg");
    let dataset = Dataset::open(&settings.out).unwrap();
    let mut styles = dataset.layer_by_name("layer_styles").unwrap();
    assert_eq!(styles.feature_count(), 1);
    let style = styles.features().next().unwrap();
    let text = |name: &str| style.field_as_string(style.field_index(name).unwrap()).unwrap();
    assert_eq!(text("f_table_name").as_deref(), Some("captions"));
    assert_eq!(text("f_geometry_column").as_deref(), Some("geom"));
    assert_eq!(text("f_table_schema").as_deref(), Some(""), "QGIS compares with an empty text");
    assert_eq!(style.field_as_integer(style.field_index("useAsDefault").unwrap()).unwrap(), Some(1));
    let qml = text("styleQML").unwrap();
    assert!(qml.contains("<qgis ") && qml.contains("RuleRenderer") && qml.contains("<labeling"));
    // A map tip is HTML: what a caption holds of it is shown, and not run.
    assert!(qml.contains("'&lt;', '&amp;lt;')"));
}

#[test]
fn a_flatgeobuf_has_an_index_and_every_tile_once() {
    let (_directory, settings) = run_into("out.fgb");
    let mut ids: Vec<String> = texts(&settings.out, "id").into_iter().flatten().collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 35);
    let dataset = Dataset::open(&settings.out).unwrap();
    let mut layer = dataset.layer(0).unwrap();
    assert!(layer.has_capability(gdal::vector::LayerCaps::OLCFastSpatialFilter), "there is an index");
    let envelope = layer.get_extent().unwrap();
    assert!(envelope.MinX > 8.9 && envelope.MaxX < 9.1, "{envelope:?}");
    let corner = layer.features().next().unwrap().geometry().unwrap().envelope();
    let (x, y) = (f64::midpoint(corner.MinX, corner.MaxX), f64::midpoint(corner.MinY, corner.MaxY));
    layer.set_spatial_filter_rect(x, y, x, y);
    let found = layer.features().count();
    assert!((1..=4).contains(&found), "tiles of the last column and row overlap: {found}");
}

#[test]
fn a_geoparquet_has_its_metadata_binary_outlines_and_their_boxes() {
    let (_directory, settings) = run_into("out.parquet");
    let reader = SerializedFileReader::new(File::open(&settings.out).unwrap()).unwrap();
    let file = reader.metadata().file_metadata().clone();
    let metadata = |key: &str| -> Value {
        let entries = file.key_value_metadata().unwrap();
        let entry = entries.iter().find(|entry| entry.key == key).unwrap();
        serde_json::from_str(entry.value.as_ref().unwrap()).unwrap()
    };
    let geo = metadata("geo");
    assert_eq!((&geo["version"], &geo["primary_column"]), (&"1.1.0".into(), &"geometry".into()));
    let column = &geo["columns"]["geometry"];
    assert_eq!(column["encoding"], "WKB");
    assert_eq!(column["geometry_types"], serde_json::json!(["Polygon"]));
    assert_eq!(column["covering"]["bbox"]["ymax"], serde_json::json!(["bbox", "ymax"]));
    assert!(column["bbox"][0].as_f64().unwrap() > 8.9 && column["bbox"][3].as_f64().unwrap() < 48.8);
    assert_eq!(metadata("rsmoe")["counts"]["captioned"], 35);
    let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 35);
    let names: Vec<&String> = rows[34].get_column_iter().map(|(name, _)| name).collect();
    assert_eq!(names[0], "id");
    assert_eq!(names[names.len() - 2..], ["geometry", "bbox"]);
    assert_eq!(rows[34].get_string(0).unwrap(), "r0004c0006");
    assert_eq!(rows[34].get_long(8).unwrap(), 84);
    let outline = rows[34].get_bytes(names.len() - 2).unwrap().data().to_vec();
    assert_eq!(outline[..9], [1, 3, 0, 0, 0, 1, 0, 0, 0]);
    let first_x = f64::from_le_bytes(outline[13..21].try_into().unwrap());
    let bounds = rows[34].get_group(names.len() - 1).unwrap();
    assert!(bounds.get_double(0).unwrap() <= first_x && first_x <= bounds.get_double(2).unwrap());
}

/// Readers skip groups of rows by the statistics of their boxes, if these are in an order that they know: of version 60 on, the
/// library below says another one for floats, and then pyarrow 26 ignores them.
#[test]
fn the_boxes_of_a_geoparquet_have_statistics_in_the_order_of_their_type() {
    let (_directory, settings) = run_into("out.parquet");
    let reader = SerializedFileReader::new(File::open(&settings.out).unwrap()).unwrap();
    let metadata = reader.metadata();
    let group = metadata.row_group(0);
    let boxes: Vec<usize> = (0..group.num_columns())
        .filter(|&number| group.column(number).column_path().string().starts_with("bbox."))
        .collect();
    assert_eq!(boxes.len(), 4);
    for number in boxes {
        let order = metadata.file_metadata().column_order(number);
        assert!(matches!(order, ColumnOrder::TYPE_DEFINED_ORDER(_)), "{order:?}");
        let statistics = group.column(number).statistics().unwrap();
        assert!(statistics.min_bytes_opt().is_some() && statistics.max_bytes_opt().is_some());
    }
}

#[test]
fn a_run_that_resumes_writes_the_same_bytes_in_every_format_and_leaves_nothing_else_behind() {
    for extension in EXTENSIONS {
        let (directory, settings) = run_into(&format!("out.{extension}"));
        let expected = std::fs::read(&settings.out).unwrap();
        let journal = std::fs::read(journal_path(&settings.out)).unwrap();
        std::fs::write(journal_path(&settings.out), &journal[..journal.len() / 2]).unwrap();
        // What a run leaves that is killed while it writes its output.
        for leftover in ["", "-journal"] {
            let name = format!("out.{extension}.partial.{extension}{leftover}");
            if leftover.is_empty() || extension == "gpkg" {
                std::fs::write(directory.path().join(name), "left over").unwrap();
            }
        }
        let summary = go(&settings, &mut Stand::default()).unwrap();
        assert!(summary.resumed > 8 && summary.resumed < 30, "{summary:?}");
        assert!(std::fs::read(&settings.out).unwrap() == expected, "{extension}");
        let out = format!("out.{extension}");
        assert_eq!(
            names_in(directory.path()),
            [out.clone(), format!("{out}.journal"), "scene.tif".to_owned()]
        );
    }
}

#[test]
fn tiles_without_captions_keep_status_and_reason() {
    let directory = tempfile::tempdir().unwrap();
    let mut recipe = Recipe::new(64, 32, 1, |_, _, col| if col < 24 { 0_u8 } else { 200 });
    recipe.nodata = Some(0.0);
    let mut settings = settings(recipe.write(directory.path(), "scene.tif"), directory.path().join("out"));
    for extension in ["gpkg", "fgb"] {
        settings.out.set_extension(extension);
        go(&settings, &mut Stand::default()).unwrap();
        let skipped = Some("skipped".to_owned());
        let at: Vec<usize> = (0..8).filter(|&at| texts(&settings.out, "status")[at] == skipped).collect();
        assert_eq!(at.len(), 2, "{extension}");
        for at in at {
            assert_eq!(texts(&settings.out, "reason")[at].as_deref(), Some("no valid pixel"));
            assert_eq!(texts(&settings.out, "caption")[at], None);
        }
    }
    settings.out.set_extension("parquet");
    go(&settings, &mut Stand::default()).unwrap();
    let reader = SerializedFileReader::new(File::open(&settings.out).unwrap()).unwrap();
    let first = reader.get_row_iter(None).unwrap().next().unwrap().unwrap();
    let fields: Vec<&Field> = first.get_column_iter().map(|(_, field)| field).collect();
    assert_eq!(
        fields[1..4],
        [&Field::Str("skipped".into()), &Field::Str("no valid pixel".into()), &Field::Null]
    );
}

#[test]
fn a_scene_without_a_place_has_rows_without_geometry() {
    let directory = tempfile::tempdir().unwrap();
    let mut recipe = Recipe::new(40, 30, 1, ramp);
    recipe.epsg = None;
    let mut settings = settings(recipe.write(directory.path(), "scene.tif"), directory.path().join("out"));
    settings.out.set_extension("gpkg");
    go(&settings, &mut Stand::default()).unwrap();
    let dataset = Dataset::open(&settings.out).unwrap();
    let mut layer = dataset.layer(0).unwrap();
    assert_eq!(layer.features().count(), 6);
    layer.set_spatial_filter_rect(-180.0, -90.0, 180.0, 90.0);
    assert_eq!(layer.features().count(), 0, "none is anywhere");
    settings.out.set_extension("parquet");
    go(&settings, &mut Stand::default()).unwrap();
    let reader = SerializedFileReader::new(File::open(&settings.out).unwrap()).unwrap();
    let first = reader.get_row_iter(None).unwrap().next().unwrap().unwrap();
    let last: Vec<&Field> = first.get_column_iter().map(|(_, field)| field).collect();
    assert_eq!(last[last.len() - 2..], [&Field::Null, &Field::Null]);
}

#[test]
fn flatgeobuf_of_tiles_without_a_place_is_refused_before_any_work() {
    let directory = tempfile::tempdir().unwrap();
    let mut recipe = Recipe::new(40, 30, 1, ramp);
    recipe.epsg = None;
    let raster = recipe.write(directory.path(), "scene.tif");
    let mut settings = settings(raster, directory.path().join("out.fgb"));
    let mut stand = Stand::default();
    let error = go(&settings, &mut stand).unwrap_err();
    assert!(error.to_string().contains("holds features with a place only"), "{error}");
    assert!(error.hint().unwrap().contains(".gpkg") && error.kind() == rsmoe::ErrorKind::Usage);
    assert_eq!((stand.described, names_in(directory.path())), (0, vec!["scene.tif".to_owned()]));
    settings.out.set_extension("csv");
    go(&settings, &mut stand).unwrap();
    let error = convert(&settings.out, &directory.path().join("other.fgb"), Existing::Keep).unwrap_err();
    assert!(error.to_string().contains("other.fgb"), "{error}");
    assert_eq!(names_in(directory.path()), ["out.csv", "out.csv.journal", "scene.tif"]);
}

#[test]
fn a_scene_across_the_antimeridian_is_a_layer_of_multipolygons() {
    let directory = tempfile::tempdir().unwrap();
    let mut recipe = Recipe::new(48, 16, 1, ramp);
    (recipe.epsg, recipe.transform) = (Some(4326), Some([179.76, 0.01, 0.0, 10.0, 0.0, -0.01]));
    let mut settings = settings(recipe.write(directory.path(), "scene.tif"), directory.path().join("out"));
    for extension in ["gpkg", "fgb"] {
        settings.out.set_extension(extension);
        go(&settings, &mut Stand::default()).unwrap();
        let dataset = Dataset::open(&settings.out).unwrap();
        let mut layer = dataset.layer(0).unwrap();
        assert_eq!(layer.defn().geometry_type(), OGRwkbGeometryType::wkbMultiPolygon);
        let mut parts: Vec<usize> =
            layer.features().map(|feature| feature.geometry().unwrap().geometry_count()).collect();
        parts.sort_unstable();
        assert_eq!(parts, [1, 1, 2], "{extension}");
    }
}

#[test]
fn a_run_is_converted_to_what_it_would_have_written_itself() {
    let (directory, settings) = run_into("out.geojson");
    for extension in ["geojsonl", "csv", "gpkg", "fgb", "parquet"] {
        let converted = directory.path().join(format!("converted.{extension}"));
        let summary = convert(&settings.out, &converted, Existing::Keep).unwrap();
        assert!(summary.is_complete() && summary.counts.captioned == 35);
        let (_other, direct) = run_into(&format!("out.{extension}"));
        let read = |path: &Path| std::fs::read(path).unwrap();
        // The facts of the run name the scene's file, which lies elsewhere.
        if matches!(extension, "geojsonl" | "csv" | "fgb") {
            assert!(read(&converted) == read(&direct.out), "{extension}");
        }
        assert!(!journal_path(&converted).exists());
        let again = directory.path().join(format!("again.{extension}"));
        convert(&journal_path(&settings.out), &again, Existing::Keep).unwrap();
        assert!(read(&again) == read(&converted), "{extension}: by the journal's own name");
    }
}

#[test]
fn a_run_that_is_not_finished_is_converted_as_far_as_it_is() {
    let (directory, settings) = run_into("out.geojson");
    let journal = std::fs::read(journal_path(&settings.out)).unwrap();
    std::fs::write(journal_path(&settings.out), &journal[..journal.len() / 2]).unwrap();
    std::fs::remove_file(&settings.out).unwrap();
    let converted = directory.path().join("part.csv");
    let summary = convert(&settings.out, &converted, Existing::Keep).unwrap();
    assert!(!summary.is_complete() && summary.total == 35, "{summary:?}");
    let lines = std::fs::read_to_string(&converted).unwrap().lines().count();
    assert_eq!(lines, 1 + summary.counts.total());
    let length = std::fs::metadata(journal_path(&settings.out)).unwrap().len();
    assert_eq!(length, journal.len() as u64 / 2, "the journal is left as it is, torn end and all");
}

#[test]
fn a_conversion_replaces_nothing_unasked_and_never_the_output_of_a_run() {
    let (directory, settings) = run_into("out.geojson");
    let notes = directory.path().join("notes.csv");
    std::fs::write(&notes, "my own notes").unwrap();
    let kept = convert(&settings.out, &notes, Existing::Keep).unwrap_err();
    assert!(matches!(kept, SceneError::Past { source: PastRunError::Occupied { .. } }), "{kept}");
    assert!(kept.hint().unwrap().contains("--overwrite"));
    assert_eq!(std::fs::read_to_string(&notes).unwrap(), "my own notes");
    convert(&settings.out, &notes, Existing::Replace).unwrap();
    let onto_itself = convert(&settings.out, &settings.out, Existing::Replace).unwrap_err();
    assert!(matches!(onto_itself, SceneError::Past { source: PastRunError::OutputOfRun { .. } }));
    let nothing = convert(&notes, &directory.path().join("b.csv"), Existing::Keep).unwrap_err();
    assert!(matches!(nothing, SceneError::Past { source: PastRunError::NotARun { .. } }), "{nothing}");
    assert_eq!(nothing.kind(), rsmoe::ErrorKind::InvalidInput);
}
