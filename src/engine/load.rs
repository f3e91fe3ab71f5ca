//! From a package directory to an engine.

use std::time::Instant;

use super::drafts::Drafts;
use super::{Branch, Engine, EngineOptions};
use crate::error::Result;
use crate::expert::{Expert, ExpertPool, PoolFiles};
use crate::manifest::{Manifest, ModelPackage, RouterSpec, Variant};
use crate::runtime::{ExecutionProvider, ProviderPolicy, Runtime, RuntimeOptions};
use crate::text::{PromptFormat, Tokenizer};
use crate::vision::{Connector, EncoderFiles, VisionEncoder};

/// Memory of the KV caches of one batch, bytes; decides how many tiles or questions run together.
const CACHE_BYTES: usize = 256 * 1024 * 1024;

/// Rows of a batch at most: beyond this a decode step's time grows with the rows on every processor measured.
const MAX_ROWS: usize = 48;

impl Engine {
    /// Opens the package, verifies every file that it will read, starts ONNX Runtime and loads all graphs.
    ///
    /// # Errors
    /// [`Error::Manifest`](crate::Error::Manifest) for a package that is missing, invalid or damaged;
    /// [`Error::Runtime`](crate::Error::Runtime) without the ONNX Runtime library, for a provider that was asked for and does
    /// not start, and for graphs that are not as the manifest says (also inside
    /// [`Error::Vision`](crate::Error::Vision) and [`Error::Generation`](crate::Error::Generation)).
    pub fn load(options: &EngineOptions) -> Result<Self> {
        let package = ModelPackage::open(&options.model)?;
        if let Some(variant) = options.variant {
            package.require_variant(variant)?;
        }
        let runtime = Runtime::start(&RuntimeOptions {
            library: options.ort_library.clone(),
            threads: options.threads,
        })?;
        // The connector comes first, which is the same in all variants: it settles the provider, which settles the variant and
        // with it the other files.
        let of_connector = package.manifest().connector_files();
        // If it is damaged, every other damaged file is named with it.
        package.verify_files(&of_connector).or_else(|error| package.verify().and(Err(error)))?;
        let started = Instant::now();
        let connector = Connector::load(runtime, &package, &options.provider)?;
        tracing::debug!(ms = started.elapsed().as_millis() as u64, "connector loaded");
        let provider = connector.provider();
        let variant = choose_variant(&package, options, provider)?;
        options.memory_limit.map_or(Ok(()), |limit| limit.check(package.manifest(), variant))?;
        let mut files = package.manifest().files_in_use(variant);
        files.retain(|file| !of_connector.contains(file));
        package.check_files(&files)?;
        // Graphs are loaded while their files are hashed; nothing is used before both are done.
        let (verified, loaded) = rayon::join(
            || package.verify_contents(&files),
            || Loaded::new(runtime, &package, (variant, provider), options),
        );
        verified?;
        let Loaded { encoder, tokenizer, pool } = loaded?;
        let manifest = package.manifest();
        let drafts = Drafts::load(&package, &tokenizer, options.speculation, (variant, provider))?;
        let stop_tokens = manifest
            .language
            .stop_tokens
            .iter()
            .map(|token| tokenizer.token_id(token))
            .collect::<Result<_, _>>()?;
        let format = PromptFormat::new(&manifest.language, manifest.connector.image_tokens());
        let row = pool.row_bytes(caption_positions(manifest, &format, &tokenizer)?);
        tracing::debug!(model = package.id(), %variant, %provider, threads = runtime.threads(), "engine loaded");
        Ok(Self {
            id: package.id(),
            variant,
            provider,
            threads: runtime.threads(),
            encoder,
            connector,
            format,
            experts: manifest.experts.list.iter().map(|spec| Expert::resolve(spec, &pool)).collect(),
            router: router_branch(manifest, &pool),
            captioner: Branch {
                decoder: manifest.captioner.decoder.clone(),
                adapter: pool.adapter_id(&manifest.captioner.decoder, manifest.captioner.adapter.as_deref()),
            },
            stop_tokens,
            drafts,
            rows_per_batch: (CACHE_BYTES / row.max(1)).clamp(1, MAX_ROWS),
            tokenizer,
            pool,
            package,
        })
    }
}

/// What comes after the connector.
struct Loaded {
    encoder: VisionEncoder,
    tokenizer: Tokenizer,
    pool: ExpertPool,
}

impl Loaded {
    fn new(
        runtime: &'static Runtime,
        package: &ModelPackage,
        (variant, provider): (Variant, ExecutionProvider),
        options: &EngineOptions,
    ) -> Result<Self> {
        let policy = ProviderPolicy::Require(provider);
        let language = &package.manifest().language;
        let started = Instant::now();
        let files = PoolFiles { package: package.clone(), variant, policy: policy.clone(), runtime };
        let (pool, rest) = rayon::join(
            || ExpertPool::load(files, options.memory_limit),
            || -> Result<_> {
                let files = EncoderFiles { package, variant, views: options.views };
                let encoder = VisionEncoder::load(runtime, files, &policy)?;
                Ok((encoder, Tokenizer::load(&package.path(&language.tokenizer))?))
            },
        );
        tracing::debug!(
            ms = started.elapsed().as_millis() as u64,
            "vision encoder, tokenizer and decoders loaded"
        );
        let (encoder, tokenizer) = rest?;
        Ok(Self { encoder, tokenizer, pool: pool? })
    }
}

impl Engine {
    /// Loads every decoder once, so that each was checked against the manifest; under a memory limit one after the other.
    ///
    /// # Errors
    /// Those of [`Engine::load`].
    pub fn check_decoders(&mut self) -> Result<()> {
        let names: Vec<String> = self.manifest().decoders.keys().cloned().collect();
        names.iter().try_for_each(|name| self.pool.decoder(name).map(|_| ()))?;
        Ok(())
    }
}

/// Positions of the longest row that a caption with the package's own instruction and prompts takes.
fn caption_positions(manifest: &Manifest, format: &PromptFormat, tokenizer: &Tokenizer) -> Result<usize> {
    let limits = manifest.generation.max_new_tokens;
    let instruction = format.instruction(&manifest.language.caption_instruction, tokenizer)?;
    let mut longest = format.answer(tokenizer)?.len() + limits.caption;
    longest = longest.max(format.router(tokenizer)?.len() + limits.router);
    for expert in &manifest.experts.list {
        longest = longest.max(format.expert(&expert.prompt, tokenizer)?.len() + limits.expert);
    }
    Ok(format.prefix(tokenizer)?.len() + instruction.len() + longest)
}

fn router_branch(manifest: &Manifest, pool: &ExpertPool) -> Option<Branch> {
    match &manifest.router {
        RouterSpec::Generative { decoder, adapter } => {
            Some(Branch { decoder: decoder.clone(), adapter: pool.adapter_id(decoder, adapter.as_deref()) })
        }
        RouterSpec::Fixed => None,
    }
}

/// The named variant, or the one that the manifest has for the provider. A provider that was chosen by itself makes do
/// with the default variant.
fn choose_variant(
    package: &ModelPackage,
    options: &EngineOptions,
    provider: ExecutionProvider,
) -> Result<Variant> {
    let manifest = package.manifest();
    let choice = manifest.variants;
    let wanted = options.variant.unwrap_or(match provider {
        ExecutionProvider::Cpu => choice.default,
        ExecutionProvider::Cuda => choice.cuda.unwrap_or(choice.default),
        ExecutionProvider::TensorRt => choice.tensorrt.unwrap_or(choice.default),
    });
    let built = manifest.built_variants();
    let may_fall_back = options.variant.is_none() && matches!(options.provider, ProviderPolicy::Prefer(_));
    if may_fall_back && !built.contains(&wanted) && built.contains(&choice.default) {
        tracing::warn!(%provider, %wanted, taken = %choice.default, "the provider's variant was not built");
        return Ok(choice.default);
    }
    package.require_variant(wanted)?;
    Ok(wanted)
}
