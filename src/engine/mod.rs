//! The engine: pictures and a request in, captions and answers out.

mod ask;
mod caption;
mod confidence;
mod counters;
mod drafts;
mod load;
mod request;
mod response;
mod work;

use std::time::Instant;

use self::confidence::Confidence;
use self::drafts::Drafts;
use crate::error::Result;
use crate::expert::{Expert, ExpertPool};
use crate::generate::{DecodeBatch, GenerationParams};
use crate::geo::Size;
use crate::image::PixelImage;
use crate::manifest::{Manifest, ModelPackage, Variant, Views};
use crate::runtime::ExecutionProvider;
use crate::text::{PromptFormat, Tokenizer};
use crate::vision::{Connector, Features, Look, Sight, VisionEncoder, preprocess};

pub use counters::Counters;
pub use request::{CaptionRequest, EngineOptions, ImageQuestion, Question, RouterChoice, Speculation, Style};
pub use response::{
    Answer, Caption, ExpertText, FinishReason, NOT_SURE, PromptSource, Timings, UNFAMILIAR_BELOW,
    is_unfamiliar,
};
pub use work::FixedWork;

/// Images that go from decoder to decoder together, at least, in packages with several: under a memory limit, each decoder is
/// loaded once for so many. More would save little time, and lose more of it if a scene is interrupted.
const IMAGES_PER_LOAD: usize = 32;

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
    threads: usize,
    encoder: VisionEncoder,
    connector: Connector,
    tokenizer: Tokenizer,
    format: PromptFormat,
    pool: ExpertPool,
    experts: Vec<Expert>,
    router: Option<Branch>,
    captioner: Branch,
    stop_tokens: Vec<u32>,
    drafts: Drafts,
    rows_per_batch: usize,
}

/// Rows of a decoder that continue from prefix and instruction.
#[derive(Debug, Clone)]
struct Branch {
    decoder: String,
    adapter: i64,
}

/// One question about one image of a batch.
#[derive(Debug, Clone, Copy)]
struct Job<'a> {
    image: usize,
    question: &'a Question,
}

/// What rows are opened with.
#[derive(Debug, Clone, Copy)]
enum Opening {
    /// The prefix alone.
    Prefix,
    /// Prefix and instruction, brought to a length if the work has one.
    Instructed(Option<FixedWork>),
}

/// Images that were encoded, and their prefix in the captioner's cache once it is there.
struct Seen {
    features: Features,
    /// One per image, if the package tells.
    familiarity: Option<Vec<f32>>,
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

    /// The variant of the graphs that is loaded.
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// Name of the vision encoder's graph in the manifest; variants may have their own.
    pub fn vision_graph(&self) -> &str {
        self.encoder.graph()
    }

    /// How often the vision encoder looks at an image.
    pub fn views(&self) -> Views {
        self.encoder.views()
    }

    /// Threads of the pool that runs the graphs.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// What the package says about itself.
    pub fn manifest(&self) -> &Manifest {
        self.package.manifest()
    }

    /// Answers of a lower confidence are [`NOT_SURE`], unless their question has a threshold of its own; 0: none is.
    pub fn unsure_below(&self) -> f64 {
        self.manifest().confidence.unwrap_or_default().unsure_below
    }

    /// Experts that are less sure stay out of a full caption, unless its request has a threshold of its own; 0: none does.
    pub fn silent_below(&self) -> f64 {
        self.manifest().confidence.unwrap_or_default().silent_below
    }

    /// How many images are best described together; a multiple of it leaves no batch half full, and under a memory limit
    /// loads no decoder more often than it has to. It does not depend on the limit.
    pub fn images_per_batch(&self) -> usize {
        let together = self.images_per_pass();
        if self.manifest().decoders.len() == 1 {
            together
        } else {
            together * IMAGES_PER_LOAD.div_ceil(together)
        }
    }

    /// Images that run through the graphs together: as many as leave each decoder a row for every expert that it is.
    fn images_per_pass(&self) -> usize {
        let rows_of = |name: &String| self.experts.iter().filter(|expert| expert.decoder == *name).count();
        let rows = self.manifest().decoders.keys().map(rows_of).max().unwrap_or(0);
        (self.rows_per_batch / rows.max(1)).max(1)
    }

    /// Forgets the texts that were written so far, from which the next ones are drafted; for measurements that repeat.
    pub fn forget_texts(&mut self) {
        self.drafts.forget();
    }

    /// Captions for images, in their order.
    ///
    /// # Errors
    /// [`Error::Vision`](crate::Error::Vision), [`Error::Generation`](crate::Error::Generation),
    /// [`Error::Text`](crate::Error::Text); [`Error::Experts`](crate::Error::Experts) and
    /// [`Error::NoGenerativeRouter`](crate::Error::NoGenerativeRouter) for what the package does not have;
    /// [`Error::Threshold`](crate::Error::Threshold).
    pub fn caption(&mut self, images: &[PixelImage], request: &CaptionRequest) -> Result<Vec<Caption>> {
        let described = self.caption_and_ask(images, request, &[])?;
        Ok(described.into_iter().map(|(caption, _)| caption).collect())
    }

    /// Answers to questions about images, in the order of the questions. Each image is encoded once, and all questions
    /// about it continue from one prefix where the connector allows it.
    ///
    /// # Errors
    /// Those of [`Engine::caption`], [`Error::Choices`](crate::Error::Choices) and
    /// [`Error::Threshold`](crate::Error::Threshold).
    ///
    /// # Panics
    /// If a question is about an image that is not there.
    pub fn ask(&mut self, images: &[PixelImage], questions: &[ImageQuestion]) -> Result<Vec<Answer>> {
        let count = images.len();
        assert!(questions.iter().all(|each| each.image < count), "questions are about the {count} images");
        questions.iter().try_for_each(|each| ask::check_question(&each.question))?;
        let mut answers: Vec<Option<Answer>> = vec![None; questions.len()];
        let size = self.images_per_pass();
        for (chunk, images) in images.chunks(size).enumerate() {
            let here: Vec<usize> =
                (0..questions.len()).filter(|&index| questions[index].image / size == chunk).collect();
            let jobs: Vec<Job<'_>> = here
                .iter()
                .map(|&index| Job {
                    image: questions[index].image % size,
                    question: &questions[index].question,
                })
                .collect();
            if jobs.is_empty() {
                continue;
            }
            self.drafts.begin_batch();
            let mut timings = Timings { images: images.len(), ..Timings::default() };
            let mut seen = self.see(images, &mut timings)?;
            for (index, answer) in here.into_iter().zip(self.answer(&mut seen, &jobs, &mut timings)?) {
                answers[index] = Some(answer);
            }
            tracing::debug!(images = images.len(), questions = jobs.len(), ?timings, "answered");
        }
        Ok(answers.into_iter().flatten().collect())
    }

    /// Captions and answers from one look at each image: it is encoded once, and the questions, asked about every image,
    /// continue from the caption's prefix where the connector allows it.
    ///
    /// # Errors
    /// Those of [`Engine::caption`] and [`Engine::ask`].
    pub fn caption_and_ask(
        &mut self,
        images: &[PixelImage],
        request: &CaptionRequest,
        questions: &[Question],
    ) -> Result<Vec<(Caption, Vec<Answer>)>> {
        questions.iter().try_for_each(ask::check_question)?;
        caption::check_request(request, &self.id, self.manifest())?;
        request.work.as_ref().map_or(Ok(()), |work| self.check_work(work))?;
        // Where decoders come and go, more images wait for each.
        let together = if self.pool.keeps_all() { self.images_per_pass() } else { self.images_per_batch() };
        let mut both = Vec::with_capacity(images.len());
        for images in images.chunks(together) {
            self.drafts.begin_batch();
            let mut timings = Timings { images: images.len(), ..Timings::default() };
            let mut passes = images
                .chunks(self.images_per_pass())
                .map(|images| self.see(images, &mut timings))
                .collect::<Result<Vec<_>>>()?;
            let captions = self.write_captions(&mut passes, request, &mut timings)?;
            let mut answers = Vec::new();
            for seen in &mut passes {
                let jobs: Vec<Job<'_>> = (0..seen.features.images())
                    .flat_map(|image| questions.iter().map(move |question| Job { image, question }))
                    .collect();
                answers.extend(self.answer(seen, &jobs, &mut timings)?);
            }
            let mut answers = answers.into_iter();
            for caption in captions {
                both.push((caption, answers.by_ref().take(questions.len()).collect()));
            }
            tracing::debug!(images = images.len(), questions = questions.len(), ?timings, "described");
        }
        Ok(both)
    }

    fn see(&mut self, images: &[PixelImage], timings: &mut Timings) -> Result<Seen> {
        let started = Instant::now();
        let tensor = preprocess(images, self.encoder.preprocess())?;
        timings.preprocess += started.elapsed();
        let started = Instant::now();
        let Sight { features, familiarity } = self.encoder.encode(tensor)?;
        timings.encode += started.elapsed();
        Ok(Seen { features, familiarity, prefixes: None })
    }

    /// What turns scores about one image of a batch into confidences.
    fn confidence(&self, seen: &Seen, image: usize) -> Confidence {
        Confidence {
            spec: self.manifest().confidence.unwrap_or_default(),
            familiarity: seen.familiarity.as_ref().map(|each| each[image]),
        }
    }

    /// A batch of `decoder` with each look's prefix, and its instruction if the opening has one; and how long the prefix
    /// is.
    fn open_rows(
        &mut self,
        decoder: &str,
        features: &Features,
        looks: &[Look<'_>],
        opening: Opening,
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
                if let Opening::Instructed(work) = opening {
                    let mut instruction = self.format.instruction(look.instruction, &self.tokenizer)?;
                    work.inspect(|work| work.fit_instruction(&mut instruction, prefix.len()));
                    tokens.extend(instruction);
                }
                Ok(tokens)
            })
            .collect::<Result<Vec<_>>>()?;
        let decoder = self.pool.decoder(decoder)?;
        let mut batch = decoder.batch(looks.len())?;
        decoder.extend(&mut batch, &segments(&prompts, |row| row, |_| 0), &embeddings.values())?;
        timings.prefill += started.elapsed();
        Ok((batch, prefix.len()))
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
