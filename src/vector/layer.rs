//! What a layer holds.

use super::Outline;

/// A layer: what it is called and what its features have.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// The fields of every feature, in order; no two names may differ in case alone.
    pub fields: Vec<Field>,
    /// Kind of the geometries.
    pub shape: Shape,
    /// True if every feature has an outline.
    pub is_placed: bool,
    /// How it is drawn, for formats that can tell.
    pub style: Style,
    /// Where the features come from: names and texts, for formats that can hold them.
    pub facts: Vec<(String, String)>,
}

/// How a layer is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Style {
    /// Its name.
    pub name: String,
    /// The style as a QGIS layer definition.
    pub qml: String,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: FieldKind,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// Text.
    Text,
    /// 64-bit integers.
    Integer,
    /// 64-bit floats.
    Real,
}

/// One value of a feature.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// There is none.
    Null,
    /// Of a [`FieldKind::Text`] column.
    Text(String),
    /// Of a [`FieldKind::Integer`] column.
    Integer(i64),
    /// Of a [`FieldKind::Real`] column.
    Real(f64),
}

/// Kind of the geometries of a layer; all are of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One polygon each.
    Polygon,
    /// One or more polygons each.
    MultiPolygon,
}

/// One row with its outline.
#[derive(Debug, Clone, PartialEq)]
pub struct Feature {
    /// A value for each field of the layer, in order.
    pub values: Vec<Value>,
    /// Where it is, if that is known.
    pub outline: Option<Outline>,
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl From<usize> for Value {
    /// Pixel positions, far below the limit.
    fn from(number: usize) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}
