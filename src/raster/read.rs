//! What a read asks for.

use serde::{Deserialize, Serialize};

use super::BandPlan;
use crate::geo::{Size, Window};

/// How samples are made where the size asked for is not the window's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resampling {
    /// Antialiased bilinear: for pictures. Palettes are read as with [`Resampling::Nearest`].
    Bilinear,
    /// The nearest pixel: for statistics, and quick on files without overviews.
    Nearest,
}

/// One read: a window, resampled to a size, of the bands of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadRequest {
    /// Pixels of the full-resolution raster.
    pub window: Window,
    /// Width and height of the result.
    pub size: Size,
    /// The bands.
    pub bands: BandPlan,
    /// How pixels are made.
    pub resampling: Resampling,
}
