//! Pixel and map arithmetic without input or output.

mod bbox;
mod footprint;
mod geodesy;
mod grid;
mod transform;
mod window;

pub use footprint::{Footprint, Ring};
pub use geodesy::ground_distance_m;
pub use grid::{GridError, TileGrid};
pub use transform::{ControlPoint, GeoTransform, MapPoint};
pub use window::{Size, Window};
