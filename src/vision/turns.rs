//! Views of an image: quarter turns, and what was seen in them turned back.
//!
//! Seen from above, a scene has no side that is up: the mean over turned views is steadier than one of them (test-time
//! augmentation, as Krizhevsky et al., `NeurIPS` 2012, average over crops and mirror images).

use ndarray::{Array, ArrayBase, ArrayD, Axis, Data, RemoveAxis};
use rayon::prelude::*;

/// Quarter turns until an image looks as before.
pub(super) const FULL: usize = 4;

/// Turns the plane of two axes by quarters, from `rows` towards `columns`; the plane must be square, and the first axis
/// is none of them: what lies along it is turned side by side.
fn turned<S, D>(values: &ArrayBase<S, D>, (rows, columns): (usize, usize), quarters: usize) -> Array<f32, D>
where
    S: Data<Elem = f32>,
    D: RemoveAxis,
{
    let mut view = values.view();
    for _ in 0..quarters {
        view.swap_axes(rows, columns);
        view.invert_axis(Axis(rows));
    }
    let mut turned = Array::zeros(view.raw_dim());
    let images: Vec<_> = turned.outer_iter_mut().zip(view.outer_iter()).collect();
    images.into_par_iter().for_each(|(mut turned, image)| turned.assign(&image));
    turned
}

/// Images `[batch, 3, side, side]`, turned by quarters.
pub(super) fn images<S, D>(pixels: &ArrayBase<S, D>, quarters: usize) -> Array<f32, D>
where
    S: Data<Elem = f32>,
    D: RemoveAxis,
{
    turned(pixels, (2, 3), quarters)
}

/// Features `[batch, side, side, channels]` of images that were turned by so many quarters, as if they had not been.
pub(super) fn features_back(features: &ArrayD<f32>, quarters: usize) -> ArrayD<f32> {
    turned(features, (1, 2), (FULL - quarters) % FULL)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array4, array};

    use super::*;

    #[test]
    fn a_quarter_turn_moves_the_right_edge_to_the_top() {
        let picture = array![[1.0, 2.0], [3.0, 4.0]].into_shape_with_order((1, 1, 2, 2)).unwrap();
        let turned = images(&picture, 1);
        assert_eq!(turned.into_shape_with_order((2, 2)).unwrap(), array![[2.0, 4.0], [1.0, 3.0]]);
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
                features_back(&seen(&images(&pixels, quarters)), quarters),
                seen(&pixels),
                "{quarters}"
            );
        }
    }
}
