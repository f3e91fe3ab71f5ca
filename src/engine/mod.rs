//! The engine: pictures and a request in, captions and answers out.

mod ask;
mod caption;
mod load;
mod request;
mod response;

use std::time::Instant;

use crate::error::Result;
use crate::expert::{Expert, ExpertPool};
use crate::generate::{DecodeBatch, GenerationParams};
use crate::geo::Size;
use crate::image::PixelImage;
use crate::manifest::{Manifest, ModelPackage, Variant};
use crate::runtime::ExecutionProvider;
use crate::text::{PromptFormat, Tokenizer};
use crate::vision::{Connector, Features, Look, VisionEncoder, preprocess};

pub use request::{CaptionRequest, EngineOptions, Question, Style};
pub use response::{Answer, Caption, ExpertText, FinishReason, PromptSource, Timings};

/// Memory of the KV caches of one batch, bytes; decides how many tiles or questions run together.
const CACHE_BYTES: usize = 256 * 1024 * 1024;

/// Rows of a batch at most: beyond this a decode step's time grows with the rows on every processor measured.
const MAX_ROWS: usize = 48;

/// A loaded model package.
///
/// Requests take `&mut self`: an engine is used by one thread at a time and uses all threads of the process-wide pool.
/// Images and questions are run in batches whose size follows from the package alone. The text of an image does not
/// depend on the batch that it is in.
#[derive(Debug)]
pub struct Engine {
    package: ModelPackage,
    id: String,
    variant: Variant,
    provider: ExecutionProvider,
    encoder: VisionEncoder,
    connector: Connector,
    tokenizer: Tokenizer,
    format: PromptFormat,
    pool: ExpertPool,
    experts: Vec<Expert>,
    router: Option<Branch>,
    captioner: Branch,
    stop_tokens: Vec<u32>,
}

/// Rows of a decoder that continue from prefix and instruction.
#[derive(Debug, Clone)]
struct Branch {
    decoder: String,
    adapter: i64,
}

/// What was found out about a batch of images.
struct Outcome {
    captions: Option<Vec<Caption>>,
    /// Per image, per question.
    answers: Vec<Vec<Answer>>,
}

/// Images that were encoded, and their prefix in the captioner's cache once it is there.
struct Seen {
    features: Features,
    /// One row per image on the captioner's decoder, at least the prefix long; only if every instruction sees the same
    /// embeddings.
    prefixes: Option<DecodeBatch>,
}

impl Engine {
    /// The width and height that the vision encoder wants; pictures of another size are resized.
    pub fn input_size(&self) -> Size {
        let spec = self.encoder.preprocess();
        Size { width: spec.width, height: spec.height }
    }

    /// Name and digest of the package: `rsmoe-mini@` and 12 hexadecimal digits of the manifest's SHA-256.
    pub fn model_id(&self) -> &str {
        &self.id
    }

    /// Name of the execution provider that really runs the graphs.
    pub fn provider(&self) -> &str {
        self.provider.name()
    }

    /// The variant of the decoders that is loaded.
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// What the package says about itself.
    pub fn manifest(&self) -> &Manifest {
        self.package.manifest()
    }

    /// How many images run together; a multiple of it leaves no batch half full.
    pub fn images_per_batch(&self) -> usize {
        (self.rows_per_batch() / self.experts.len().max(1)).max(1)
    }

    /// Captions for images, in their order.
    ///
    /// # Errors
    /// [`Error::Vision`](crate::Error::Vision), [`Error::Generation`](crate::Error::Generation),
    /// [`Error::Text`](crate::Error::Text).
    pub fn caption(&mut self, images: &[PixelImage], request: &CaptionRequest) -> Result<Vec<Caption>> {
        let mut captions = Vec::with_capacity(images.len());
        for images in images.chunks(self.images_per_batch()) {
            captions.extend(self.run(images, Some(request), &[])?.captions.unwrap_or_default());
        }
        Ok(captions)
    }

    /// Answers to all questions about each image: per image, per question, in their order.
    ///
    /// # Errors
    /// Those of [`Engine::caption`], and [`Error::Choices`](crate::Error::Choices).
    pub fn ask(&mut self, images: &[PixelImage], questions: &[Question]) -> Result<Vec<Vec<Answer>>> {
        let mut answers = Vec::with_capacity(images.len());
        for images in images.chunks(self.images_per_batch()) {
            answers.extend(self.run(images, None, questions)?.answers);
        }
        Ok(answers)
    }

    /// Captions and answers from one look at each image: it is encoded once, and questions continue from the caption's
    /// prefix where the connector allows it.
    ///
    /// # Errors
    /// Those of [`Engine::caption`] and [`Engine::ask`].
    pub fn caption_and_ask(
        &mut self,
        images: &[PixelImage],
        request: &CaptionRequest,
        questions: &[Question],
    ) -> Result<Vec<(Caption, Vec<Answer>)>> {
        let mut both = Vec::with_capacity(images.len());
        for images in images.chunks(self.images_per_batch()) {
            let outcome = self.run(images, Some(request), questions)?;
            both.extend(outcome.captions.unwrap_or_default().into_iter().zip(outcome.answers));
        }
        Ok(both)
    }

    fn run(
        &mut self,
        images: &[PixelImage],
        request: Option<&CaptionRequest>,
        questions: &[Question],
    ) -> Result<Outcome> {
        questions.iter().try_for_each(ask::check_choices)?;
        let mut timings = Timings { images: images.len(), ..Timings::default() };
        let mut seen = self.see(images, &mut timings)?;
        let captions =
            request.map(|request| self.write_captions(&mut seen, request, &mut timings)).transpose()?;
        let answers = if questions.is_empty() {
            vec![Vec::new(); images.len()]
        } else {
            self.answer(&mut seen, questions, &mut timings)?
        };
        if let Some(batch) = seen.prefixes {
            self.pool.decoder(&self.captioner.decoder).recycle(batch);
        }
        tracing::debug!(images = images.len(), questions = questions.len(), ?timings, "batch done");
        Ok(Outcome { captions, answers })
    }

    fn see(&mut self, images: &[PixelImage], timings: &mut Timings) -> Result<Seen> {
        let started = Instant::now();
        let tensor = preprocess(images, self.encoder.preprocess())?;
        timings.preprocess += started.elapsed();
        let started = Instant::now();
        let features = self.encoder.encode(tensor)?;
        timings.encode += started.elapsed();
        Ok(Seen { features, prefixes: None })
    }

    /// A batch of `decoder` with the prefix, and the look's instruction if `instructed`, of each look; and how long the
    /// prefix is.
    fn open_rows(
        &mut self,
        decoder: &str,
        features: &Features,
        looks: &[Look<'_>],
        instructed: bool,
        timings: &mut Timings,
    ) -> Result<(DecodeBatch, usize)> {
        let started = Instant::now();
        let embeddings = self.connector.connect(features, looks)?;
        timings.encode += started.elapsed();
        let started = Instant::now();
        let prefix = self.format.prefix(&self.tokenizer)?;
        let prompts = looks
            .iter()
            .map(|look| {
                let mut tokens = prefix.clone();
                if instructed {
                    tokens.extend(self.format.instruction(look.instruction, &self.tokenizer)?);
                }
                Ok(tokens)
            })
            .collect::<Result<Vec<_>>>()?;
        let decoder = self.pool.decoder(decoder);
        let mut batch = decoder.batch(looks.len())?;
        decoder.extend(&mut batch, &segments(&prompts, |row| row, |_| 0), embeddings.values())?;
        timings.prefill += started.elapsed();
        Ok((batch, prefix.len()))
    }

    fn rows_per_batch(&self) -> usize {
        (CACHE_BYTES / self.pool.row_bytes().max(1)).clamp(1, MAX_ROWS)
    }

    fn params(&self, max_new_tokens: usize) -> GenerationParams {
        GenerationParams { max_new_tokens, stop_tokens: self.stop_tokens.clone() }
    }

    /// The text of tokens, trimmed.
    fn text(&self, tokens: &[u32]) -> Result<String> {
        Ok(self.tokenizer.detokenize(tokens)?.trim().to_owned())
    }
}

/// One segment per prompt.
fn segments(
    prompts: &[Vec<crate::text::PromptToken>],
    image: impl Fn(usize) -> usize,
    adapter: impl Fn(usize) -> i64,
) -> Vec<crate::generate::Segment<'_>> {
    prompts
        .iter()
        .enumerate()
        .map(|(row, tokens)| crate::generate::Segment { tokens, image: image(row), adapter: adapter(row) })
        .collect()
}

/// Image embeddings for segments without image tokens.
fn no_images() -> ndarray::ArrayView3<'static, f32> {
    ndarray::ArrayView3::from_shape((0, 0, 0), &[]).expect("an empty slice fits an empty shape")
}
