//! What a tensor at the border of a graph looks like: name, element type, symbolic shape.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Element type of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DType {
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// 64-bit signed integer.
    I64,
    /// 32-bit signed integer.
    I32,
    /// 8-bit unsigned integer.
    U8,
    /// 8-bit signed integer.
    I8,
    /// One byte, 0 or 1.
    Bool,
}

impl DType {
    /// The name as the manifest spells it, such as `f32`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::I64 => "i64",
            Self::I32 => "i32",
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::Bool => "bool",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// One axis of a shape: a length, or a name for a length that is known when the graph runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Dim {
    /// A length that never changes.
    Fixed(usize),
    /// A length that differs from run to run, such as `batch`.
    Symbol(String),
}

impl Dim {
    /// True if the two axes may describe the same graph: equal lengths, or both symbolic (names are not compared).
    pub fn agrees_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Fixed(own), Self::Fixed(other)) => own == other,
            (Self::Symbol(_), Self::Symbol(_)) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(length) => write!(formatter, "{length}"),
            Self::Symbol(name) => formatter.write_str(if name.is_empty() { "?" } else { name }),
        }
    }
}

/// Name, element type and symbolic shape of one input or output of a graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TensorSpec {
    /// Name inside the graph.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Axes, outermost first.
    pub shape: Vec<Dim>,
}

impl TensorSpec {
    /// Element type and shape in one word: `f32[batch, 3, 224, 224]`.
    pub fn signature(&self) -> String {
        let axes: Vec<String> = self.shape.iter().map(ToString::to_string).collect();
        format!("{}[{}]", self.dtype, axes.join(", "))
    }

    /// True if element type, number of axes and fixed lengths are the same; names of symbolic axes may differ.
    pub fn agrees_with(&self, other: &Self) -> bool {
        self.dtype == other.dtype
            && self.shape.len() == other.shape.len()
            && self.shape.iter().zip(&other.shape).all(|(own, other)| own.agrees_with(other))
    }
}

impl fmt::Display for TensorSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.name, self.signature())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(dtype: DType, shape: &[Dim]) -> TensorSpec {
        TensorSpec { name: "pixel_values".to_owned(), dtype, shape: shape.to_vec() }
    }

    #[test]
    fn a_spec_reads_like_its_signature() {
        let own = spec(DType::F32, &[Dim::Symbol("batch".to_owned()), Dim::Fixed(3)]);
        assert_eq!(own.to_string(), "pixel_values: f32[batch, 3]");
    }

    #[test]
    fn names_of_symbolic_axes_do_not_matter_but_fixed_lengths_do() {
        let own = spec(DType::F32, &[Dim::Symbol("batch".to_owned()), Dim::Fixed(3)]);
        assert!(own.agrees_with(&spec(DType::F32, &[Dim::Symbol(String::new()), Dim::Fixed(3)])));
        assert!(!own.agrees_with(&spec(DType::F32, &[Dim::Symbol("batch".to_owned()), Dim::Fixed(4)])));
        assert!(!own.agrees_with(&spec(DType::F32, &[Dim::Fixed(1), Dim::Fixed(3)])));
        assert!(!own.agrees_with(&spec(DType::I64, &[Dim::Symbol("batch".to_owned()), Dim::Fixed(3)])));
        assert!(!own.agrees_with(&spec(DType::F32, &[Dim::Symbol("batch".to_owned())])));
    }

    #[test]
    fn axes_are_numbers_or_names_in_a_manifest() {
        let read: TensorSpec =
            serde_yaml::from_str("{name: x, dtype: i64, shape: [rows, 2]}").expect("valid");
        assert_eq!(read.shape, [Dim::Symbol("rows".to_owned()), Dim::Fixed(2)]);
        assert!(serde_yaml::from_str::<TensorSpec>("{name: x, dtype: f33, shape: []}").is_err());
    }
}
