//! `GeoPackage` and `FlatGeobuf` through GDAL's vector drivers: the only file here that names it.

use std::path::Path;

use gdal::errors::GdalError;
use gdal::spatial_ref::{AxisMappingStrategy, SpatialRef};
use gdal::vector::{
    Defn, Feature as OgrFeature, FieldDefn, Geometry, LayerAccess, LayerOptions, OGRFieldType,
    OGRwkbGeometryType,
};
use gdal::{Dataset, DatasetOptions, DriverManager, GdalOpenFlags};

use super::{Feature, Field, FieldKind, Layer, Shape, Value, VectorError};
use crate::raster;

/// Driver of `GeoPackage`.
pub(super) const GEOPACKAGE: &str = "GPKG";
/// Driver of `FlatGeobuf`.
pub(super) const FLATGEOBUF: &str = "FlatGeobuf";

/// The date that a file bears, instead of the day on which it was written: equal contents make equal bytes.
const DATE: &str = "1970-01-01T00:00:00.000Z";
/// GDAL's options for that, and for a file that nobody relies on before it is finished and synced.
const OPTIONS: [(&str, &str); 2] = [("OGR_CURRENT_DATE", DATE), ("OGR_SQLITE_SYNCHRONOUS", "OFF")];
/// Column of the geometries.
const GEOMETRY: &str = "geom";
/// Table in which QGIS looks for the style of a layer.
const STYLES: &str = "layer_styles";
/// Table of the facts.
const FACTS: &str = "run";

/// Checks that GDAL has the driver.
pub(super) fn check_driver(driver: &'static str) -> Result<(), VectorError> {
    raster::prepare();
    DriverManager::get_driver_by_name(driver).map(drop).map_err(|_| VectorError::DriverMissing { driver })
}

/// Writes a file, closes it, and counts what can be read back: closing it does not say whether the disk was full.
pub(super) fn write<E: From<VectorError>>(
    path: &Path,
    driver: &'static str,
    layer: &Layer,
    features: impl Iterator<Item = Result<Feature, E>>,
) -> Result<(), E> {
    check_driver(driver)?;
    let failed = |source: GdalError| VectorError::write(path, source);
    let _options = Options::set().map_err(failed)?;
    remove_leftovers(path)?;
    let mut dataset = create(path, driver, layer).map_err(failed)?;
    let expected = if driver == GEOPACKAGE {
        let transaction = dataset.start_transaction().map_err(failed)?;
        let count = fill(&transaction, path, layer, features)?;
        transaction.commit().map_err(failed)?;
        count
    } else {
        fill(&dataset, path, layer, features)?
    };
    dataset.close().map_err(failed)?;
    let found = count(path, driver, &layer.name).unwrap_or_else(|error| {
        tracing::debug!(%error, "not readable");
        0
    });
    if found == expected {
        Ok(())
    } else {
        Err(VectorError::Incomplete { path: path.to_path_buf(), expected, found }.into())
    }
}

/// Removes what a killed run left: `SQLite` would take the journal of a file that is gone for the new file's.
fn remove_leftovers(path: &Path) -> Result<(), VectorError> {
    let mut journal = path.as_os_str().to_owned();
    journal.push("-journal");
    for leftover in [path, Path::new(&journal)] {
        match std::fs::remove_file(leftover) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(VectorError::write(leftover, source));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The options of this thread, as long as it lives.
struct Options;

impl Options {
    fn set() -> Result<Self, GdalError> {
        let options = Self;
        for (key, value) in OPTIONS {
            gdal::config::set_thread_local_config_option(key, value)?;
        }
        Ok(options)
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        for (key, _) in OPTIONS {
            if let Err(error) = gdal::config::clear_thread_local_config_option(key) {
                tracing::warn!(key, %error, "GDAL option not cleared");
            }
        }
    }
}

/// The file with its empty layer and, in a `GeoPackage`, the tables beside it.
fn create(path: &Path, driver: &str, layer: &Layer) -> Result<Dataset, GdalError> {
    let mut dataset = DriverManager::get_driver_by_name(driver)?.create_vector_only(path)?;
    let mut wgs84 = SpatialRef::from_epsg(4326)?;
    wgs84.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
    let column = format!("GEOMETRY_NAME={GEOMETRY}");
    let options: &[&str] = if driver == GEOPACKAGE { &[&column] } else { &["SPATIAL_INDEX=YES"] };
    let empty = dataset.create_layer(LayerOptions {
        name: &layer.name,
        srs: Some(&wgs84),
        ty: match layer.shape {
            Shape::Polygon => OGRwkbGeometryType::wkbPolygon,
            Shape::MultiPolygon => OGRwkbGeometryType::wkbMultiPolygon,
        },
        options: Some(options),
    })?;
    for field in &layer.fields {
        add_field(&empty, field)?;
    }
    if driver == GEOPACKAGE {
        let facts = layer.facts.iter().map(|(name, text)| vec![name.as_str(), text.as_str()]);
        add_table(&mut dataset, FACTS, "fid", &["name", "value"], facts.collect())?;
        add_style(&mut dataset, layer)?;
    }
    Ok(dataset)
}

fn add_field(layer: &gdal::vector::Layer<'_>, field: &Field) -> Result<(), GdalError> {
    let kind = match field.kind {
        FieldKind::Text => OGRFieldType::OFTString,
        FieldKind::Integer => OGRFieldType::OFTInteger64,
        FieldKind::Real => OGRFieldType::OFTReal,
    };
    FieldDefn::new(&field.name, kind)?.add_to_layer(layer)
}

/// The table that QGIS reads when a layer is opened; it wants empty texts where there is nothing to say.
fn add_style(dataset: &mut Dataset, layer: &Layer) -> Result<(), GdalError> {
    let columns = [
        ("f_table_catalog", ""),
        ("f_table_schema", ""),
        ("f_table_name", layer.name.as_str()),
        ("f_geometry_column", GEOMETRY),
        ("styleName", layer.style.name.as_str()),
        ("styleQML", layer.style.qml.as_str()),
        ("styleSLD", ""),
        ("useAsDefault", "1"),
        ("description", layer.style.name.as_str()),
        ("owner", ""),
        ("ui", ""),
        ("update_time", DATE),
    ];
    let (names, values): (Vec<&str>, Vec<&str>) = columns.into_iter().unzip();
    add_table(dataset, STYLES, "id", &names, vec![values])
}

/// A table without geometry. All its columns hold texts, but those that QGIS wants otherwise.
fn add_table(
    dataset: &mut Dataset,
    name: &str,
    key: &str,
    columns: &[&str],
    rows: Vec<Vec<&str>>,
) -> Result<(), GdalError> {
    let key = format!("FID={key}");
    let table = dataset.create_layer(LayerOptions {
        name,
        srs: None,
        ty: OGRwkbGeometryType::wkbNone,
        options: Some(&[&key]),
    })?;
    for &column in columns {
        let kind = match column {
            "useAsDefault" => OGRFieldType::OFTInteger,
            "update_time" => OGRFieldType::OFTDateTime,
            _ => OGRFieldType::OFTString,
        };
        FieldDefn::new(column, kind)?.add_to_layer(&table)?;
    }
    let definition = Defn::from_layer(&table);
    for row in rows {
        let mut feature = OgrFeature::new(&definition)?;
        for (index, value) in row.into_iter().enumerate() {
            feature.set_field_string(index, value)?;
        }
        feature.create(&table)?;
    }
    Ok(())
}

/// Adds the features to the layer; gives their number.
fn fill<E: From<VectorError>>(
    dataset: &Dataset,
    path: &Path,
    layer: &Layer,
    features: impl Iterator<Item = Result<Feature, E>>,
) -> Result<usize, E> {
    let failed = |source: GdalError| VectorError::write(path, source);
    let target = dataset.layer_by_name(&layer.name).map_err(failed)?;
    let definition = Defn::from_layer(&target);
    let mut count = 0;
    for feature in features {
        let feature = feature?;
        add_feature(&target, &definition, layer.shape, &feature).map_err(failed)?;
        count += 1;
    }
    Ok(count)
}

fn add_feature(
    target: &gdal::vector::Layer<'_>,
    definition: &Defn,
    shape: Shape,
    feature: &Feature,
) -> Result<(), GdalError> {
    let mut row = OgrFeature::new(definition)?;
    for (index, value) in feature.values.iter().enumerate() {
        match value {
            Value::Null => row.set_field_null(index)?,
            Value::Text(text) => row.set_field_string(index, text)?,
            Value::Integer(number) => row.set_field_integer64(index, *number)?,
            Value::Real(number) => row.set_field_double(index, *number)?,
        }
    }
    if let Some(outline) = &feature.outline {
        row.set_geometry(Geometry::from_wkb(&outline.to_wkb(shape))?)?;
    }
    row.create(target)
}

/// How many features can be read from a layer of the file.
fn count(path: &Path, driver: &str, layer: &str) -> Result<usize, GdalError> {
    let options = DatasetOptions {
        open_flags: GdalOpenFlags::GDAL_OF_VECTOR | GdalOpenFlags::GDAL_OF_VERBOSE_ERROR,
        allowed_drivers: Some(&[driver]),
        ..DatasetOptions::default()
    };
    let dataset = Dataset::open_ex(path, options)?;
    let mut layer = dataset.layer_by_name(layer)?;
    Ok(layer.features().count())
}
