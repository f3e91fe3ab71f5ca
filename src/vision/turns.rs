//! Views of an image: quarter turns, and what was seen in them turned back.
//!
//! Seen from above, a scene has no side that is up: the mean over turned views is steadier than one of them (test-time
//! augmentation, as Krizhevsky et al., `NeurIPS` 2012, average over crops and mirror images).

use ndarray::{ArrayD, Axis};
use rayon::prelude::*;

/// Quarter turns until an image looks as before.
pub(super) const FULL: usize = 4;

/// Turns square images by a quarter, in place: what was at the right edge comes to the top. `pixels` holds planes of
/// `side x side` one after the other.
pub(super) fn turn_images(pixels: &mut [f32], side: usize) {
    pixels.par_chunks_exact_mut(side * side).for_each(|plane| {
        let last = side - 1;
        // Four places, each a quarter turn from the next, exchange what they hold.
        for row in 0..side / 2 {
            for column in 0..side.div_ceil(2) {
                let places =
                    [(row, column), (column, last - row), (last - row, last - column), (last - column, row)];
                let [first, second, third, fourth] = places.map(|(row, column)| row * side + column);
                let held = plane[first];
                plane[first] = plane[second];
                plane[second] = plane[third];
                plane[third] = plane[fourth];
                plane[fourth] = held;
            }
        }
    });
}

/// Features `[batch, side, side, channels]` of images that were turned by so many quarters, as if they had not been.
pub(super) fn features_back(features: &ArrayD<f32>, quarters: usize) -> ArrayD<f32> {
    let (rows, columns) = (1, 2);
    let mut view = features.view();
    for _ in quarters..FULL {
        view.swap_axes(rows, columns);
        view.invert_axis(Axis(rows));
    }
    view.as_standard_layout().into_owned()
}

#[cfg(test)]
mod tests {
    use ndarray::{Array4, array};

    use super::*;

    fn turned(pixels: &Array4<f32>, quarters: usize) -> Array4<f32> {
        let mut turned = pixels.clone();
        for _ in 0..quarters {
            turn_images(turned.as_slice_mut().unwrap(), pixels.dim().3);
        }
        turned
    }

    #[test]
    fn a_quarter_turn_moves_the_right_edge_to_the_top() {
        let even = array![[1.0, 2.0], [3.0, 4.0]].into_shape_with_order((1, 1, 2, 2)).unwrap();
        let expected = array![[2.0, 4.0], [1.0, 3.0]];
        assert_eq!(turned(&even, 1).into_shape_with_order((2, 2)).unwrap(), expected);
        let odd = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]];
        let expected = array![[3.0, 6.0, 9.0], [2.0, 5.0, 8.0], [1.0, 4.0, 7.0]];
        let odd = odd.into_shape_with_order((1, 1, 3, 3)).unwrap();
        assert_eq!(turned(&odd, 1).into_shape_with_order((3, 3)).unwrap(), expected);
    }

    #[test]
    fn four_quarter_turns_change_nothing() {
        for side in [1, 2, 5, 8] {
            let pixels = Array4::from_shape_fn((2, 3, side, side), |(n, c, y, x)| {
                (n * 1000 + c * 100 + y * 10 + x) as f32
            });
            assert_eq!(turned(&pixels, FULL), pixels, "{side}");
        }
    }

    #[test]
    fn features_of_a_turned_image_are_turned_back_to_where_they_belong() {
        let pixels =
            Array4::from_shape_fn((2, 3, 4, 4), |(n, c, y, x)| (n * 100 + c * 16 + y * 4 + x) as f32);
        let seen = |pixels: &Array4<f32>| {
            pixels.view().permuted_axes([0, 2, 3, 1]).as_standard_layout().into_owned().into_dyn()
        };
        for quarters in 0..FULL {
            assert_eq!(
                features_back(&seen(&turned(&pixels, quarters)), quarters),
                seen(&pixels),
                "{quarters}"
            );
        }
    }
}
