//! The vision encoder.

use ndarray::{ArrayD, Axis};

use super::VisionError;
use crate::image::ImageTensor;
use crate::manifest::{ModelPackage, PreprocessSpec};
use crate::runtime::{Array, ExecutionProvider, ProviderPolicy, Runtime, RuntimeError, Session};

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

    /// Number of images.
    pub fn images(&self) -> usize {
        self.0.shape().first().copied().unwrap_or(0)
    }

    /// Features of chosen images, in the order given; an image may be chosen more than once.
    pub(super) fn select(&self, images: &[usize]) -> ArrayD<f32> {
        self.0.select(Axis(0), images)
    }
}

/// Image tensor to [`Features`].
#[derive(Debug)]
pub struct VisionEncoder {
    session: Session,
    preprocess: PreprocessSpec,
    pixel_values: String,
    features: String,
}

impl VisionEncoder {
    /// Loads the package's vision encoder.
    ///
    /// # Errors
    /// Those of [`Session::load`].
    pub fn load(
        runtime: &Runtime,
        package: &ModelPackage,
        policy: &ProviderPolicy,
    ) -> Result<Self, RuntimeError> {
        let spec = &package.manifest().vision_encoder;
        let graph = &package.manifest().graphs[&spec.graph];
        let session = Session::load(runtime, (&spec.graph, &package.path(&graph.file)), graph, policy)?;
        Ok(Self {
            session,
            preprocess: spec.preprocess.clone(),
            pixel_values: spec.pixel_values.clone(),
            features: spec.features.clone(),
        })
    }

    /// How pictures become its input.
    pub fn preprocess(&self) -> &PreprocessSpec {
        &self.preprocess
    }

    /// The provider that really runs it.
    pub fn provider(&self) -> ExecutionProvider {
        self.session.provider()
    }

    /// Runs the encoder once for all images.
    ///
    /// # Errors
    /// [`VisionError::Runtime`].
    pub fn encode(&mut self, images: ImageTensor) -> Result<Features, VisionError> {
        let pixels = Array::F32(images.into_values().into_dyn());
        let features = self.session.run_to_floats(&[(&self.pixel_values, &pixels)], &self.features)?;
        Ok(Features(features))
    }
}
