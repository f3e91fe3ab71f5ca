//! How pixels become the vision encoder's input.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// From a picture of any size to a normalised tensor: resize, `x / 255`, minus mean, over standard deviation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreprocessSpec {
    /// Width of the input, pixels.
    pub width: usize,
    /// Height of the input, pixels.
    pub height: usize,
    /// Order of the bands in the tensor.
    pub bands: [Band; 3],
    /// How a picture of another size is resized.
    pub resampling: Resampling,
    /// Mean per band of the tensor, of values `0..=1`.
    pub mean: [f32; 3],
    /// Standard deviation per band of the tensor, of values `0..=1`.
    pub std: [f32; 3],
}

/// A colour of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Band {
    /// Red.
    Red,
    /// Green.
    Green,
    /// Blue.
    Blue,
}

impl Band {
    /// Index of the colour in a [`PixelImage`](crate::image::PixelImage), 0-based.
    pub fn index(self) -> usize {
        match self {
            Self::Red => 0,
            Self::Green => 1,
            Self::Blue => 2,
        }
    }
}

/// A way to resize.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Resampling {
    /// Bilinear with antialiasing: the triangle filter widens with the reduction, as Pillow's `BILINEAR`.
    Bilinear,
}
