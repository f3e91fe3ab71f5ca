//! Pixel rectangles.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Size {
    /// Pixels in a row.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
}

impl Size {
    /// Number of pixels; saturates instead of overflowing.
    pub fn pixels(self) -> usize {
        self.width.saturating_mul(self.height)
    }

    /// True if there is no pixel in it.
    pub fn is_empty(self) -> bool {
        self.width == 0 || self.height == 0
    }

    /// The largest size of the same shape whose longer side is at most `longest` pixels; never larger than `self`,
    /// never smaller than one pixel.
    #[must_use]
    pub fn fitted_to(self, longest: usize) -> Self {
        let longer = self.width.max(self.height);
        if longer <= longest || longer == 0 {
            return self;
        }
        let scale = longest as f64 / longer as f64;
        let side = |pixels: usize| ((pixels as f64 * scale).round() as usize).clamp(1, pixels);
        Self { width: side(self.width), height: side(self.height) }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} x {}", self.width, self.height)
    }
}

/// A rectangle of whole pixels of a raster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    /// First column, 0-based from the left.
    pub col: usize,
    /// First row, 0-based from the top.
    pub row: usize,
    /// Pixels in a row.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
}

impl Window {
    /// The window that covers a raster of this size.
    pub fn whole(size: Size) -> Self {
        Self { col: 0, row: 0, width: size.width, height: size.height }
    }

    /// Width and height.
    pub fn size(self) -> Size {
        Size { width: self.width, height: self.height }
    }

    /// True if there is no pixel in it.
    pub fn is_empty(self) -> bool {
        self.size().is_empty()
    }

    /// True if every pixel lies in a raster of this size.
    pub fn is_inside(self, size: Size) -> bool {
        let fits = |start: usize, length: usize, limit: usize| {
            start.checked_add(length).is_some_and(|end| end <= limit)
        };
        fits(self.col, self.width, size.width) && fits(self.row, self.height, size.height)
    }

    /// The pixels that both windows hold; `None` if there are none.
    pub fn intersect(self, other: Self) -> Option<Self> {
        let col = self.col.max(other.col);
        let row = self.row.max(other.row);
        let right = self.col.saturating_add(self.width).min(other.col.saturating_add(other.width));
        let bottom = self.row.saturating_add(self.height).min(other.row.saturating_add(other.height));
        (col < right && row < bottom).then(|| Self { col, row, width: right - col, height: bottom - row })
    }

    /// The part that lies in a raster of this size; `None` if nothing does.
    pub fn clip(self, size: Size) -> Option<Self> {
        self.intersect(Self::whole(size))
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "col {}, row {}, {} x {}", self.col, self.row, self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(col: usize, row: usize, width: usize, height: usize) -> Window {
        Window { col, row, width, height }
    }

    #[test]
    fn windows_that_only_touch_do_not_intersect() {
        assert_eq!(window(0, 0, 4, 3).intersect(window(4, 0, 4, 3)), None);
        assert_eq!(window(0, 0, 4, 3).intersect(window(3, 2, 9, 9)), Some(window(3, 2, 1, 1)));
    }

    #[test]
    fn clipping_keeps_what_is_inside() {
        let size = Size { width: 10, height: 5 };
        assert_eq!(window(8, 4, 4, 4).clip(size), Some(window(8, 4, 2, 1)));
        assert_eq!(window(10, 0, 1, 1).clip(size), None);
        assert!(!window(usize::MAX, 0, 2, 1).is_inside(size));
        assert!(window(0, 0, 10, 5).is_inside(size));
    }

    #[test]
    fn fitting_keeps_the_shape_and_never_enlarges() {
        assert_eq!(Size { width: 4000, height: 1000 }.fitted_to(400), Size { width: 400, height: 100 });
        assert_eq!(Size { width: 30, height: 10 }.fitted_to(400), Size { width: 30, height: 10 });
        assert_eq!(Size { width: 100_000, height: 1 }.fitted_to(10), Size { width: 10, height: 1 });
    }
}
