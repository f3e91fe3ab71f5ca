//! From a package directory to an engine.

use super::drafts::Drafts;
use super::{Branch, Engine, EngineOptions};
use crate::error::Result;
use crate::expert::{Expert, ExpertPool};
use crate::manifest::{Manifest, ModelPackage, RouterSpec, Variant};
use crate::runtime::{ExecutionProvider, ProviderPolicy, Runtime, RuntimeOptions};
use crate::text::{PromptFormat, Tokenizer};
use crate::vision::{Connector, VisionEncoder};

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
        // The encoder comes first: it settles the provider, which settles the variant and with it the files.
        verify_encoder(&package)?;
        let encoder = VisionEncoder::load(runtime, &package, &options.provider)?;
        let provider = encoder.provider();
        let variant = choose_variant(&package, options, provider)?;
        package.verify_in_use(variant)?;
        let policy = ProviderPolicy::Require(provider);
        let connector = Connector::load(runtime, &package, &policy)?;
        let pool = ExpertPool::load(runtime, &package, variant, &policy)?;
        let manifest = package.manifest();
        let tokenizer = Tokenizer::load(&package.path(&manifest.language.tokenizer))?;
        let drafts = Drafts::load(&package, &tokenizer, options.speculation, (variant, provider))?;
        let stop_tokens = manifest
            .language
            .stop_tokens
            .iter()
            .map(|token| tokenizer.token_id(token))
            .collect::<Result<_, _>>()?;
        tracing::debug!(model = package.id(), %variant, %provider, threads = runtime.threads(), "engine loaded");
        Ok(Self {
            id: package.id(),
            variant,
            provider,
            threads: runtime.threads(),
            encoder,
            connector,
            format: PromptFormat::new(&manifest.language, manifest.connector.image_tokens()),
            experts: manifest.experts.list.iter().map(|spec| Expert::resolve(spec, &pool)).collect(),
            router: router_branch(manifest, &pool),
            captioner: Branch {
                decoder: manifest.captioner.decoder.clone(),
                adapter: pool.adapter_id(&manifest.captioner.decoder, manifest.captioner.adapter.as_deref()),
            },
            stop_tokens,
            drafts,
            tokenizer,
            pool,
            package,
        })
    }
}

fn verify_encoder(package: &ModelPackage) -> Result<()> {
    let manifest = package.manifest();
    let graph = &manifest.graphs[&manifest.vision_encoder.graph];
    let files: Vec<&str> = std::iter::once(&graph.file).chain(&graph.data).map(String::as_str).collect();
    Ok(package.verify_files(&files)?)
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
