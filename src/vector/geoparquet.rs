//! `GeoParquet` 1.1 (<https://geoparquet.org/releases/v1.1.0>): the only file that names Parquet.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as PhysicalType};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};
use serde_json::json;

use super::{Bounds, Feature, Field, FieldKind, Layer, Shape, Value, VectorError};

/// Column of the geometries.
const GEOMETRY: &str = "geometry";
/// Column of the boxes, and its parts.
const BOX: &str = "bbox";
const BOX_PARTS: [&str; 4] = ["xmin", "ymin", "xmax", "ymax"];
/// Rows of a group; as many are in memory at a time.
const GROUP_ROWS: usize = 1 << 14;

/// Writes a file: the fields, then the geometries and their boxes.
pub(super) fn write<E: From<VectorError>>(
    path: &Path,
    layer: &Layer,
    features: impl Iterator<Item = Result<Feature, E>>,
) -> Result<(), E> {
    let failed = |source: ParquetError| VectorError::write(path, source);
    let file = File::create(path).map_err(|source| VectorError::write(path, source))?;
    let schema = schema(layer).map_err(failed)?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).map_err(failed)?;
    let mut summary = Summary::default();
    let mut rows = Vec::new();
    for feature in features {
        let feature = feature?;
        summary.add(&feature);
        rows.push(feature);
        if rows.len() == GROUP_ROWS {
            write_group(&mut writer, layer, &rows).map_err(failed)?;
            rows.clear();
        }
    }
    if !rows.is_empty() {
        write_group(&mut writer, layer, &rows).map_err(failed)?;
    }
    writer.append_key_value_metadata(KeyValue::new("geo".to_owned(), summary.geo()));
    for (name, text) in &layer.facts {
        writer.append_key_value_metadata(KeyValue::new(name.clone(), text.clone()));
    }
    writer.close().map(drop).map_err(|source| failed(source).into())
}

/// What the file says of its geometries.
#[derive(Default)]
struct Summary {
    bounds: Option<Bounds>,
    has_polygons: bool,
    has_multi_polygons: bool,
}

impl Summary {
    fn add(&mut self, feature: &Feature) {
        let Some(outline) = &feature.outline else { return };
        self.bounds = Some(self.bounds.unwrap_or(Bounds::NOWHERE).with(outline.bounds()));
        match outline.shape() {
            Shape::Polygon => self.has_polygons = true,
            Shape::MultiPolygon => self.has_multi_polygons = true,
        }
    }

    /// The `geo` metadata. Without `crs`, coordinates are longitude and latitude on WGS84 (OGC:CRS84).
    fn geo(&self) -> String {
        let kinds = [("Polygon", self.has_polygons), ("MultiPolygon", self.has_multi_polygons)];
        let kinds: Vec<&str> =
            kinds.iter().filter(|(_, is_there)| *is_there).map(|(name, _)| *name).collect();
        let part = |name: &str| json!([BOX, name]);
        let [west, south, east, north] = BOX_PARTS.map(part);
        let mut column = json!({
            "encoding": "WKB", "geometry_types": kinds, "orientation": "counterclockwise",
            "covering": {"bbox": {"xmin": west, "ymin": south, "xmax": east, "ymax": north}},
        });
        if let Some(bounds) = self.bounds {
            column["bbox"] = json!([bounds.west, bounds.south, bounds.east, bounds.north]);
        }
        json!({"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}).to_string()
    }
}

fn schema(layer: &Layer) -> Result<TypePtr, ParquetError> {
    let mut columns = layer.fields.iter().map(column).collect::<Result<Vec<_>, _>>()?;
    let geometry = Type::primitive_type_builder(GEOMETRY, PhysicalType::BYTE_ARRAY);
    columns.push(Arc::new(geometry.with_repetition(Repetition::OPTIONAL).build()?));
    let part = |name| {
        let part = Type::primitive_type_builder(name, PhysicalType::DOUBLE);
        part.with_repetition(Repetition::REQUIRED).build().map(Arc::new)
    };
    let parts = BOX_PARTS.into_iter().map(part).collect::<Result<Vec<_>, _>>()?;
    let group = Type::group_type_builder(BOX).with_repetition(Repetition::OPTIONAL).with_fields(parts);
    columns.push(Arc::new(group.build()?));
    Ok(Arc::new(Type::group_type_builder(&layer.name).with_fields(columns).build()?))
}

fn column(field: &Field) -> Result<TypePtr, ParquetError> {
    let (kind, logical) = match field.kind {
        FieldKind::Text => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
        FieldKind::Integer => (PhysicalType::INT64, None),
        FieldKind::Real => (PhysicalType::DOUBLE, None),
    };
    let column = Type::primitive_type_builder(&field.name, kind);
    Ok(Arc::new(column.with_repetition(Repetition::OPTIONAL).with_logical_type(logical).build()?))
}

fn write_group(
    writer: &mut SerializedFileWriter<File>,
    layer: &Layer,
    rows: &[Feature],
) -> Result<(), ParquetError> {
    let mut group = writer.next_row_group()?;
    for (index, field) in layer.fields.iter().enumerate() {
        let values = rows.iter().map(|row| row.values.get(index).unwrap_or(&Value::Null));
        match field.kind {
            FieldKind::Text => {
                let texts = values.map(|value| match value {
                    Value::Text(text) => Some(ByteArray::from(text.as_str())),
                    _ => None,
                });
                write_column::<ByteArrayType>(&mut group, texts)?;
            }
            FieldKind::Integer => {
                let numbers = values.map(|value| match value {
                    Value::Integer(number) => Some(*number),
                    _ => None,
                });
                write_column::<Int64Type>(&mut group, numbers)?;
            }
            FieldKind::Real => {
                let numbers = values.map(|value| match value {
                    Value::Real(number) => Some(*number),
                    _ => None,
                });
                write_column::<DoubleType>(&mut group, numbers)?;
            }
        }
    }
    let outlines = || rows.iter().map(|row| row.outline.as_ref());
    let binary = outlines().map(|outline| Some(ByteArray::from(outline?.to_wkb(Shape::Polygon))));
    write_column::<ByteArrayType>(&mut group, binary)?;
    let sides: [fn(Bounds) -> f64; 4] = [|at| at.west, |at| at.south, |at| at.east, |at| at.north];
    for side in sides {
        write_column::<DoubleType>(&mut group, outlines().map(|outline| Some(side(outline?.bounds()))))?;
    }
    group.close().map(drop)
}

/// The group's next column: the values that are there, and for each row whether it has one.
fn write_column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, File>,
    cells: impl Iterator<Item = Option<T::T>>,
) -> Result<(), ParquetError> {
    let mut levels = Vec::new();
    let mut values = Vec::new();
    for cell in cells {
        levels.push(i16::from(cell.is_some()));
        values.extend(cell);
    }
    let missing = || ParquetError::General("the schema has fewer columns than the rows".to_owned());
    let mut column = group.next_column()?.ok_or_else(missing)?;
    column.typed::<T>().write_batch(&values, Some(&levels), None)?;
    column.close()
}
