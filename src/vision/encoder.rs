//! The vision encoder.

use ndarray::{ArrayD, ArrayViewD, Axis};

use super::{VisionError, turns};
use crate::image::ImageTensor;
use crate::manifest::{ModelPackage, PreprocessSpec, Variant, Views};
use crate::runtime::{Array, ProviderPolicy, RunTime, Runtime, Session};

/// What the vision encoder sees: f32 `[batch, rows, columns, channels]` or `[batch, tokens, channels]`.
///
/// It does not depend on any instruction, so it is kept for every question about the images.
#[derive(Debug, Clone, PartialEq)]
pub struct Features(ArrayD<f32>);

impl Features {
    /// Wraps features, the batch in the first axis.
    pub fn new(values: ArrayD<f32>) -> Self {
        Self(values)
    }

    /// The values, the batch in the first axis.
    pub fn values(&self) -> ArrayViewD<'_, f32> {
        self.0.view()
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.0.shape().first().copied().unwrap_or(0)
    }

    /// Features of chosen images, in the order given; an image may be chosen more than once.
    pub(super) fn select(&self, images: &[usize]) -> ArrayD<f32> {
        self.0.select(Axis(0), images)
    }
}

/// What the vision encoder makes of a batch of images.
#[derive(Debug, Clone, PartialEq)]
pub struct Sight {
    /// What the connector gets.
    pub features: Features,
    /// For each image, how probable it is that the model knows its kind, `0..=1`; none if the package does not tell.
    pub familiarity: Option<Vec<f32>>,
}

/// Where the vision encoder comes from, and how it looks.
#[derive(Debug, Clone, Copy)]
pub struct EncoderFiles<'a> {
    /// The package.
    pub package: &'a ModelPackage,
    /// The variant whose graph is loaded.
    pub variant: Variant,
    /// How often it looks at an image; none: as the manifest says.
    pub views: Option<Views>,
}

/// Image tensor to [`Features`], and how familiar the image looks.
#[derive(Debug)]
pub struct VisionEncoder {
    session: Session,
    preprocess: PreprocessSpec,
    views: Views,
    pixel_values: String,
    features: String,
    familiarity: Option<String>,
}

impl VisionEncoder {
    /// Loads the package's vision encoder.
    ///
    /// # Errors
    /// Those of [`Session::load`] as [`VisionError::Runtime`]; [`VisionError::CannotTurn`].
    pub fn load(
        runtime: &Runtime,
        files: EncoderFiles<'_>,
        policy: &ProviderPolicy,
    ) -> Result<Self, VisionError> {
        let manifest = files.package.manifest();
        let spec = &manifest.vision_encoder;
        let name = spec.graph_of(files.variant);
        let graph = &manifest.graphs[name];
        let views = files.views.unwrap_or(spec.views);
        if views == Views::QuarterTurns && !spec.can_turn(graph) {
            return Err(VisionError::CannotTurn);
        }
        let session = Session::load(runtime, (name, &files.package.path(&graph.file)), graph, policy)?;
        Ok(Self {
            session,
            preprocess: spec.preprocess.clone(),
            views,
            pixel_values: spec.pixel_values.clone(),
            features: spec.features.clone(),
            familiarity: spec.familiarity.clone(),
        })
    }

    /// How pictures become its input.
    pub fn preprocess(&self) -> &PreprocessSpec {
        &self.preprocess
    }

    /// Name of its graph in the manifest.
    pub fn graph(&self) -> &str {
        self.session.name()
    }

    /// The graph's runs since it was loaded.
    pub fn spent(&self) -> RunTime {
        self.session.spent()
    }

    /// How often it looks at an image.
    pub fn views(&self) -> Views {
        self.views
    }

    /// Runs the encoder for all images together, once for each view.
    ///
    /// # Errors
    /// [`VisionError::Runtime`], [`VisionError::Shape`], [`VisionError::Familiarity`].
    pub fn encode(&mut self, images: ImageTensor) -> Result<Sight, VisionError> {
        let mut pixels = Array::F32(images.into_values().into_dyn());
        let mut mean = self.look(&pixels)?;
        if self.views == Views::Single {
            return Ok(mean);
        }
        for quarters in 1..turns::FULL {
            turn(&mut pixels);
            let seen = self.look(&pixels)?;
            mean.features.0 += &turns::features_back(&seen.features.0, quarters);
            for (sum, one) in mean.familiarity.iter_mut().flatten().zip(seen.familiarity.iter().flatten()) {
                *sum += one;
            }
        }
        let share = 1.0 / turns::FULL as f32;
        mean.features.0 *= share;
        mean.familiarity.iter_mut().flatten().for_each(|sum| *sum *= share);
        Ok(mean)
    }

    /// One run of the graph: pixel values `[batch, 3, height, width]`.
    fn look(&mut self, pixels: &Array) -> Result<Sight, VisionError> {
        let count = pixels.shape()[0];
        let outputs: Vec<&str> =
            std::iter::once(&self.features).chain(&self.familiarity).map(String::as_str).collect();
        let mut floats =
            self.session.run_to_all_floats(&[(&self.pixel_values, pixels)], &outputs)?.into_iter();
        let features = Features(floats.next().expect("one array per output"));
        let familiarity = floats.next().map(|values| checked_familiarity(&values, count)).transpose()?;
        Ok(Sight { features, familiarity })
    }
}

/// Turns images `[batch, 3, side, side]` by a quarter.
fn turn(pixels: &mut Array) {
    if let Array::F32(values) = pixels {
        let side = values.shape()[3];
        if !values.is_standard_layout() {
            *values = values.as_standard_layout().into_owned();
        }
        turns::turn_images(values.as_slice_mut().expect("in standard layout"), side);
    }
}

/// One probability per image.
fn checked_familiarity(values: &ArrayD<f32>, images: usize) -> Result<Vec<f32>, VisionError> {
    if values.shape() != [images] {
        return Err(VisionError::Shape {
            output: "familiarity",
            expected: vec![images],
            found: values.shape().to_vec(),
        });
    }
    match values.iter().enumerate().find(|(_, value)| !(0.0..=1.0).contains(*value)) {
        Some((image, &found)) => Err(VisionError::Familiarity { image, found }),
        None => Ok(values.iter().copied().collect()),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn familiarity_is_one_probability_per_image() {
        let both_ends = array![0.0, 0.25, 1.0].into_dyn();
        assert_eq!(checked_familiarity(&both_ends, 3).unwrap(), [0.0, 0.25, 1.0]);
        let error = checked_familiarity(&both_ends, 2).unwrap_err();
        assert_eq!(error.to_string(), "familiarity: expected shape [2], found [3]");
        for broken in [f32::NAN, f32::INFINITY, -0.01, 1.01] {
            let error = checked_familiarity(&array![0.5, broken].into_dyn(), 2).unwrap_err();
            assert!(matches!(error, VisionError::Familiarity { image: 1, .. }), "{error}");
            assert!(error.to_string().ends_with(&format!("from 0 to 1, found {broken}")), "{error}");
        }
    }
}
