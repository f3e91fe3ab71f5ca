//! The seam between scenes and the engine.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use crate::engine::{Answer, Caption, CaptionRequest, Engine, Question, is_unfamiliar};
use crate::geo::Size;
use crate::image::PixelImage;
use crate::manifest::{GroundResolution, Views};

/// Fewest tiles between two writes of the journal.
const LEAST_BATCH: usize = 8;

/// Why a batch could not be described.
pub type DescribeError = Box<dyn std::error::Error + Send + Sync>;

/// Something that writes texts about pictures: the engine, or a stand-in for it.
///
/// The text of a picture must not depend on the other pictures of its batch.
pub trait TileDescriber {
    /// Width and height of the pictures that it wants.
    fn input_size(&self) -> Size;

    /// What describes, for the record.
    fn model_facts(&self) -> ModelFacts;

    /// Texts for pictures of [`TileDescriber::input_size`], one for each, in order. Blocks until all are there.
    ///
    /// # Errors
    /// Whatever keeps the engine from describing them.
    fn describe(&mut self, images: &[PixelImage]) -> Result<Vec<TileText>, DescribeError>;
}

/// Which model described the tiles, and how it was run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// Name and digest of the model package.
    pub model: String,
    /// Execution provider that really ran.
    pub provider: String,
    /// Precision of the language model.
    pub variant: String,
    /// How often the vision encoder looks at a tile; once in journals of before it was told.
    #[serde(default)]
    pub views: Views,
    /// Ground resolution of the imagery that the model was trained on, metres per pixel.
    pub trained_gsd_m: GroundResolution,
}

/// What is said about one tile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TileText {
    /// The merged caption.
    pub caption: String,
    /// `0..=1`, as [`Caption::confidence`].
    pub confidence: f64,
    /// How probable it is that the tile is of the kind that the model was trained on, `0..=1`; none if the package does not
    /// tell, as in journals of before it was told.
    #[serde(default)]
    pub familiarity: Option<f64>,
    /// The experts' texts in the order of the manifest, those that are part of the caption; empty for brief captions.
    pub experts: Vec<ExpertText>,
    /// Answers, one for each question of the run.
    pub answers: Vec<TileAnswer>,
}

/// What one expert wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExpertText {
    /// Name of the expert: `theme`, `objects`, `relationship`.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// An answer about a tile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TileAnswer {
    /// The question.
    pub question: String,
    /// The answer; [`NOT_SURE`](crate::engine::NOT_SURE) below the run's threshold.
    pub answer: String,
    /// What the answer would have been, if it is "not sure".
    #[serde(default)]
    pub said: Option<String>,
    /// `0..=1`, as [`Answer::confidence`].
    pub confidence: f64,
}

impl TileText {
    /// True if what is said is likely to be invented, see [`is_unfamiliar`].
    pub fn is_unfamiliar(&self) -> bool {
        is_unfamiliar(self.familiarity.map(|familiarity| familiarity as f32))
    }
}

/// The engine with what it is asked about every tile.
#[derive(Debug)]
pub struct EngineDescriber {
    engine: Engine,
    request: CaptionRequest,
    questions: Vec<Question>,
}

impl EngineDescriber {
    /// An engine that captions every tile as requested and answers the questions about it.
    pub fn new(engine: Engine, request: CaptionRequest, questions: Vec<Question>) -> Self {
        Self { engine, request, questions }
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Forgets the texts that were written so far; for measurements that repeat.
    pub fn forget_texts(&mut self) {
        self.engine.forget_texts();
    }

    /// Tiles that are best described together: whole batches of the engine, and enough that the journal is not written all
    /// the time.
    pub fn tiles_per_batch(engine: &Engine) -> NonZeroUsize {
        let together = engine.images_per_batch();
        NonZeroUsize::new(together * LEAST_BATCH.div_ceil(together)).unwrap_or(NonZeroUsize::MIN)
    }
}

impl TileDescriber for EngineDescriber {
    fn input_size(&self) -> Size {
        self.engine.input_size()
    }

    fn model_facts(&self) -> ModelFacts {
        ModelFacts {
            model: self.engine.model_id().to_owned(),
            provider: self.engine.provider().to_owned(),
            variant: self.engine.variant().to_string(),
            views: self.engine.views(),
            trained_gsd_m: self.engine.manifest().ground_resolution_m,
        }
    }

    fn describe(&mut self, images: &[PixelImage]) -> Result<Vec<TileText>, DescribeError> {
        let described = self.engine.caption_and_ask(images, &self.request, &self.questions)?;
        Ok(described
            .into_iter()
            .map(|(caption, answers)| tile_text(caption, answers, &self.questions))
            .collect())
    }
}

fn tile_text(caption: Caption, answers: Vec<Answer>, questions: &[Question]) -> TileText {
    let answer = |(question, answer): (&Question, Answer)| TileAnswer {
        question: question.text.clone(),
        answer: answer.text,
        said: answer.said,
        confidence: f64::from(answer.confidence),
    };
    TileText {
        caption: caption.text,
        confidence: f64::from(caption.confidence),
        familiarity: caption.familiarity.map(f64::from),
        experts: caption
            .experts
            .into_iter()
            // A table has no room to say that a text is not to be relied on.
            .filter(|expert| expert.in_caption)
            .map(|expert| ExpertText { name: expert.name, text: expert.text })
            .collect(),
        answers: questions.iter().zip(answers).map(answer).collect(),
    }
}
