//! The connector: features to image embeddings.

use ndarray::{Array2, Array3, ArrayView3, Axis};

use super::{Features, VisionError};
use crate::manifest::{ConnectorSpec, ModelPackage};
use crate::runtime::{Array, ExecutionProvider, ProviderPolicy, RunTime, Runtime, Session};
use crate::text::Tokenizer;

/// What image tokens stand for: f32 `[rows, image_tokens, hidden]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageEmbeddings(Array3<f32>);

impl ImageEmbeddings {
    /// The values, `[rows, image_tokens, hidden]`.
    pub fn values(&self) -> ArrayView3<'_, f32> {
        self.0.view()
    }
}

/// One row of embeddings to make: which image, seen with which instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look<'a> {
    /// Index of the image in the features.
    pub image: usize,
    /// What a connector that reads the instruction is told.
    pub instruction: &'a str,
}

/// Features to [`ImageEmbeddings`].
#[derive(Debug)]
pub struct Connector {
    session: Session,
    spec: ConnectorSpec,
    /// The tokenizer of a Q-Former.
    tokenizer: Option<Tokenizer>,
    hidden: usize,
}

impl Connector {
    /// Loads the package's connector.
    ///
    /// # Errors
    /// [`VisionError::Runtime`], [`VisionError::Text`].
    pub fn load(
        runtime: &Runtime,
        package: &ModelPackage,
        policy: &ProviderPolicy,
    ) -> Result<Self, VisionError> {
        let spec = package.manifest().connector.clone();
        let graph = &package.manifest().graphs[spec.graph()];
        let session = Session::load(runtime, (spec.graph(), &package.path(&graph.file)), graph, policy)?;
        let tokenizer = match &spec {
            ConnectorSpec::Projection { .. } => None,
            ConnectorSpec::Qformer { tokenizer, .. } => Some(Tokenizer::load(&package.path(tokenizer))?),
        };
        Ok(Self { session, spec, tokenizer, hidden: package.manifest().language.hidden })
    }

    /// True if the embeddings depend on the instruction, so that every question needs its own.
    pub fn reads_instruction(&self) -> bool {
        matches!(self.spec, ConnectorSpec::Qformer { .. })
    }

    /// The provider that really runs it.
    pub fn provider(&self) -> ExecutionProvider {
        self.session.provider()
    }

    /// The graph's runs since it was loaded.
    pub fn spent(&self) -> RunTime {
        self.session.spent()
    }

    /// Makes one row of embeddings per look.
    ///
    /// # Errors
    /// [`VisionError::Runtime`], [`VisionError::Text`], [`VisionError::Shape`], [`VisionError::NotFinite`].
    pub fn connect(
        &mut self,
        features: &Features,
        looks: &[Look<'_>],
    ) -> Result<ImageEmbeddings, VisionError> {
        let images: Vec<usize> = looks.iter().map(|look| look.image).collect();
        let features = Array::F32(features.select(&images));
        let embeddings = match &self.spec {
            ConnectorSpec::Projection { features: input, image_embeddings, .. } => {
                self.session.run_to_floats(&[(input, &features)], image_embeddings)?
            }
            ConnectorSpec::Qformer {
                features: input,
                image_embeddings,
                instruction_ids,
                instruction_mask,
                max_instruction_tokens,
                ..
            } => {
                let tokenizer = self.tokenizer.as_ref().expect("loaded with the connector");
                let (ids, mask) = instruction_tensors(tokenizer, looks, *max_instruction_tokens)?;
                self.session.run_to_floats(
                    &[(input, &features), (instruction_ids, &ids), (instruction_mask, &mask)],
                    image_embeddings,
                )?
            }
        };
        let expected = vec![looks.len(), self.spec.image_tokens(), self.hidden];
        if embeddings.shape() != expected {
            return Err(VisionError::Shape {
                output: "image embeddings",
                expected,
                found: embeddings.shape().to_vec(),
            });
        }
        let embeddings: Array3<f32> = embeddings.into_dimensionality().expect("three axes");
        let broken = embeddings.axis_iter(Axis(0)).position(|row| row.iter().any(|value| !value.is_finite()));
        match broken {
            Some(row) => Err(VisionError::NotFinite { image: looks[row].image }),
            None => Ok(ImageEmbeddings(embeddings)),
        }
    }
}

/// Token ids and mask of the looks' instructions, i64 `[looks, length]`, right-padded with 0 and masked there.
fn instruction_tensors(
    tokenizer: &Tokenizer,
    looks: &[Look<'_>],
    limit: usize,
) -> Result<(Array, Array), VisionError> {
    let tokens = looks
        .iter()
        .map(|look| tokenizer.tokenize_enclosed(look.instruction, limit))
        .collect::<Result<Vec<_>, _>>()?;
    let length = tokens.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let mut ids = Array2::<i64>::zeros((looks.len(), length));
    let mut mask = Array2::<i64>::zeros((looks.len(), length));
    for (row, tokens) in tokens.iter().enumerate() {
        for (column, &token) in tokens.iter().enumerate() {
            ids[[row, column]] = i64::from(token);
            mask[[row, column]] = 1;
        }
    }
    Ok((Array::I64(ids.into_dyn()), Array::I64(mask.into_dyn())))
}
