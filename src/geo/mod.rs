//! Pixel and map arithmetic without input or output.

mod area;
mod bbox;
mod footprint;
mod geodesy;
mod grid;
mod transform;
mod window;

pub use area::{Area, AreaError, Overlap};
pub use footprint::{Footprint, Ring};
pub use geodesy::ground_distance_m;
pub use grid::{GridError, TileGrid};
pub use transform::{GeoTransform, MapPoint};
pub use window::{Size, Window};
