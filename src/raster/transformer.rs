//! GDAL's own transformer from pixels to map coordinates, for georeferences that are no affine transform.

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;

use gdal::Dataset;
use gdal::cpl::CslStringList;

/// Largest error, in pixels, of the iteration through rational polynomials.
const PIXEL_ERROR: f64 = 0.001;

/// What the transformer solves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Method {
    /// The polynomial through the ground control points: of the second order for six or more, else, or where those do not
    /// determine it, of the first. Gives coordinates of the control points' reference system.
    ControlPoints,
    /// The rational polynomials of a camera (RPC), on a plane at this height above the ellipsoid, metres. Gives longitude
    /// and latitude.
    RationalPolynomials {
        /// Height of the terrain.
        height_m: f64,
    },
}

/// A transformer from pixel positions to map coordinates.
#[derive(Debug)]
pub(super) struct Transformer {
    argument: NonNull<c_void>,
}

impl Transformer {
    /// The transformer of a dataset; `None` if what the dataset holds cannot be solved.
    pub(super) fn try_new(dataset: &Dataset, method: Method) -> Option<Self> {
        match method {
            Method::ControlPoints => {
                Self::create(dataset, &["METHOD=GCP_POLYNOMIAL".to_owned()]).or_else(|| {
                    Self::create(dataset, &["METHOD=GCP_POLYNOMIAL", "MAX_GCP_ORDER=1"].map(str::to_owned))
                })
            }
            Method::RationalPolynomials { height_m } => {
                let height = format!("RPC_HEIGHT={height_m}");
                Self::create(
                    dataset,
                    &["METHOD=RPC".to_owned(), height, format!("RPC_PIXEL_ERROR_THRESHOLD={PIXEL_ERROR}")],
                )
            }
        }
    }

    #[expect(unsafe_code, reason = "the binding has no interface to GDAL's transformers")]
    fn create(dataset: &Dataset, options: &[String]) -> Option<Self> {
        let mut list = CslStringList::new();
        for option in options {
            list.add_string(option).ok()?;
        }
        // SAFETY: the dataset is open as long as it is borrowed; GDAL copies what it needs of it and of the options. Without a
        // destination, the result is in the coordinates of the source.
        let argument = unsafe {
            gdal_sys::GDALCreateGenImgProjTransformer2(
                dataset.c_dataset(),
                std::ptr::null_mut(),
                list.as_ptr(),
            )
        };
        NonNull::new(argument).map(|argument| Self { argument })
    }

    /// Map coordinates (x, y) of pixel positions (col, row); `None` if one of them has none.
    #[expect(unsafe_code, reason = "the binding has no interface to GDAL's transformers")]
    pub(super) fn to_map(&self, pixels: &[(f64, f64)]) -> Option<(Vec<f64>, Vec<f64>)> {
        let (mut x, mut y): (Vec<f64>, Vec<f64>) = pixels.iter().copied().unzip();
        let mut z = vec![0.0; pixels.len()];
        let mut succeeded = vec![0; pixels.len()];
        let count = c_int::try_from(pixels.len()).ok()?;
        // SAFETY: the argument lives as long as `self`, and all four arrays hold `count` elements.
        unsafe {
            gdal_sys::GDALGenImgProjTransform(
                self.argument.as_ptr(),
                0,
                count,
                x.as_mut_ptr(),
                y.as_mut_ptr(),
                z.as_mut_ptr(),
                succeeded.as_mut_ptr(),
            );
        }
        succeeded.iter().all(|&succeeded| succeeded != 0).then_some((x, y))
    }
}

impl Drop for Transformer {
    #[expect(unsafe_code, reason = "the binding has no interface to GDAL's transformers")]
    fn drop(&mut self) {
        // SAFETY: the argument was made by `create` and is destroyed once.
        unsafe { gdal_sys::GDALDestroyGenImgProjTransformer(self.argument.as_ptr()) }
    }
}
