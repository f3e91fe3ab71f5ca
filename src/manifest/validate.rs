//! Does the manifest agree with itself? All problems are collected.

use std::collections::{BTreeMap, BTreeSet};

use super::integrity::is_confined;
use super::{
    ConfidenceSpec, ConnectorSpec, DecoderSpec, GraphSpec, Layout, Manifest, RouterSpec, SCHEMA_VERSION,
    SegmentTemplate, Slot, Views,
};
use crate::tensor::{DType, Dim, TensorSpec};

/// Largest size of anything that a manifest counts (positions, channels, tokens, pixels of a side); larger ones are
/// mistakes that must not become allocations.
const LARGEST: usize = 1 << 24;
/// Most layers of a decoder.
const MOST_LAYERS: usize = 1 << 10;

/// Where the layer's number goes in the name of a cache.
pub(super) const LAYER: &str = "{layer}";

impl Manifest {
    /// Everything that is wrong with the manifest; empty if it can be used.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Problems::default();
        self.check_header(&mut problems);
        self.check_files(&mut problems);
        self.check_preprocess(&mut problems);
        self.check_language(&mut problems);
        self.check_mixture(&mut problems);
        self.check_vision(&mut problems);
        for (name, decoder) in &self.decoders {
            self.check_decoder(name, decoder, &mut problems);
        }
        problems.list
    }

    fn check_header(&self, problems: &mut Problems) {
        problems.require(self.schema_version == SCHEMA_VERSION, || {
            format!("schema_version: expected {SCHEMA_VERSION}, found {}", self.schema_version)
        });
        let is_plain = |name: &str| {
            !name.is_empty() && name.chars().all(|each| each.is_ascii_alphanumeric() || "._-".contains(each))
        };
        problems.require(is_plain(&self.name), || {
            format!("name: expected letters, digits, '.', '_', '-', found \"{}\"", self.name)
        });
        let resolution = self.ground_resolution_m;
        problems.require(resolution.min > 0.0 && resolution.max >= resolution.min, || {
            format!(
                "ground_resolution_m: expected 0 < min <= max, found {}..{}",
                resolution.min, resolution.max
            )
        });
        let limits = self.generation.max_new_tokens;
        for (name, limit) in [
            ("caption", limits.caption),
            ("router", limits.router),
            ("expert", limits.expert),
            ("answer", limits.answer),
        ] {
            problems.require_size(limit, &format!("generation.max_new_tokens.{name}"));
        }
        problems.list.extend(self.confidence.iter().flat_map(ConfidenceSpec::problems));
    }

    fn check_files(&self, problems: &mut Problems) {
        for (path, file) in &self.files {
            problems.require(is_confined(path), || {
                format!("files: \"{path}\" is not a relative path inside the package")
            });
            problems.require(path != super::MANIFEST_FILE, || {
                "files: the manifest cannot list itself".to_owned()
            });
            let is_digest = file.sha256.len() == 64
                && file.sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            problems.require(is_digest, || {
                format!("files: sha256 of \"{path}\" is not 64 lower-case hexadecimal digits")
            });
        }
        for (name, graph) in &self.graphs {
            for path in std::iter::once(&graph.file).chain(&graph.data) {
                self.require_file(path, &format!("graphs.{name}"), problems);
            }
            for (list, direction) in [(&graph.inputs, "inputs"), (&graph.outputs, "outputs")] {
                let distinct: BTreeSet<&str> = list.iter().map(|spec| spec.name.as_str()).collect();
                problems.require(distinct.len() == list.len(), || {
                    format!("graphs.{name}.{direction}: a name appears twice")
                });
            }
        }
    }

    fn check_preprocess(&self, problems: &mut Problems) {
        let spec = &self.vision_encoder.preprocess;
        problems.require_size(spec.width, "vision_encoder.preprocess.width");
        problems.require_size(spec.height, "vision_encoder.preprocess.height");
        let mut bands: Vec<usize> = spec.bands.iter().map(|band| band.index()).collect();
        bands.sort_unstable();
        problems.require(bands == [0, 1, 2], || {
            "vision_encoder.preprocess.bands: expected red, green and blue in any order".to_owned()
        });
        problems.require(spec.mean.iter().all(|mean| mean.is_finite()), || {
            "vision_encoder.preprocess.mean: expected finite numbers".to_owned()
        });
        problems.require(spec.std.iter().all(|std| std.is_finite() && *std > 0.0), || {
            "vision_encoder.preprocess.std: expected positive numbers".to_owned()
        });
    }

    fn check_language(&self, problems: &mut Problems) {
        let language = &self.language;
        self.require_file(&language.tokenizer, "language.tokenizer", problems);
        problems.require_size(language.hidden, "language.hidden");
        problems.require_size(language.max_context, "language.max_context");
        problems.require(!language.stop_tokens.is_empty(), || {
            "language.stop_tokens: expected at least one token".to_owned()
        });
        if let Some(drafts) = &self.generation.drafts {
            self.require_file(drafts, "generation.drafts", problems);
        }
        let image_tokens = self.connector.image_tokens();
        problems.require(language.max_context > image_tokens, || {
            format!(
                "language.max_context: expected more than the {image_tokens} image tokens, found {}",
                language.max_context
            )
        });
        let prompts = &language.prompts;
        for (name, segment, wanted) in [
            ("prefix", &prompts.prefix, &[Slot::Image][..]),
            ("instruction", &prompts.instruction, &[Slot::Instruction]),
            ("answer", &prompts.answer, &[]),
            ("router", &prompts.router, &[]),
            ("expert", &prompts.expert, &[Slot::Prompt]),
        ] {
            let found: Vec<Slot> = segment
                .iter()
                .filter_map(|piece| match piece {
                    SegmentTemplate::Slot { slot } => Some(*slot),
                    SegmentTemplate::Text { .. } => None,
                })
                .collect();
            problems.require(found == wanted, || {
                format!(
                    "language.prompts.{name}: expected the slots [{}], found [{}]",
                    slot_names(wanted),
                    slot_names(&found)
                )
            });
            problems.require(!segment.is_empty(), || format!("language.prompts.{name}: expected a segment"));
        }
    }

    fn check_mixture(&self, problems: &mut Problems) {
        let experts = &self.experts;
        problems
            .require(!experts.list.is_empty(), || "experts.list: expected at least one expert".to_owned());
        let names: BTreeSet<&str> = experts.list.iter().map(|expert| expert.name.as_str()).collect();
        problems
            .require(names.len() == experts.list.len(), || "experts.list: a name appears twice".to_owned());
        if let Some(lead) = &experts.lead {
            problems.require(names.contains(lead.as_str()), || {
                format!("experts.lead: no expert is called {lead}")
            });
        }
        for expert in &experts.list {
            let place = format!("experts.list.{}", expert.name);
            problems.require(!expert.prompt.trim().is_empty(), || format!("{place}: the prompt is empty"));
            self.require_decoder(&expert.decoder, expert.adapter.as_deref(), &place, problems);
            problems.require(
                (experts.layout == Layout::Adapter) == expert.adapter.is_some(),
                || match experts.layout {
                    Layout::Adapter => format!("{place}: layout adapter needs an adapter for each expert"),
                    Layout::Graph => format!("{place}: layout graph has no adapters"),
                },
            );
        }
        if experts.layout == Layout::Adapter {
            let decoders: BTreeSet<&str> =
                experts.list.iter().map(|expert| expert.decoder.as_str()).collect();
            problems.require(decoders.len() <= 1, || {
                "experts.list: layout adapter needs one decoder for all experts".to_owned()
            });
        }
        if let RouterSpec::Generative { decoder, adapter } = &self.router {
            self.require_decoder(decoder, adapter.as_deref(), "router", problems);
        }
        let captioner = &self.captioner;
        self.require_decoder(&captioner.decoder, captioner.adapter.as_deref(), "captioner", problems);
    }

    fn check_vision(&self, problems: &mut Problems) {
        let encoder = &self.vision_encoder;
        let (width, height) = (encoder.preprocess.width, encoder.preprocess.height);
        let (tokens, hidden) = (self.connector.image_tokens(), self.language.hidden);
        let own = encoder
            .variants
            .iter()
            .map(|(variant, spec)| (format!("vision_encoder.variants.{variant}"), &spec.graph));
        for (place, name) in std::iter::once(("vision_encoder".to_owned(), &encoder.graph)).chain(own) {
            let Some(graph) = self.require_graph(name, &place, problems) else { continue };
            let mut checked = Checked::new(name, graph, problems);
            checked.input(&encoder.pixel_values, DType::F32, &[None, Some(3), Some(height), Some(width)]);
            checked.output_named(&encoder.features, DType::F32);
            if let Some(familiarity) = &encoder.familiarity {
                checked.output(familiarity, DType::F32, &[None]);
            }
            checked.no_other_inputs();
            problems.require(encoder.views == Views::Single || encoder.can_turn(graph), || {
                "vision_encoder.views: quarter_turns needs a square input and features [batch, side, side, channels]".to_owned()
            });
        }
        problems.require_size(tokens, "connector.image_tokens");
        if let Some(graph) = self.require_graph(self.connector.graph(), "connector", problems) {
            let mut checked = Checked::new(self.connector.graph(), graph, problems);
            checked.input_named(self.connector.features(), DType::F32);
            checked.output(
                self.connector.image_embeddings(),
                DType::F32,
                &[None, Some(tokens), Some(hidden)],
            );
            if let ConnectorSpec::Qformer { instruction_ids, instruction_mask, .. } = &self.connector {
                checked.input(instruction_ids, DType::I64, &[None, None]);
                checked.input(instruction_mask, DType::I64, &[None, None]);
            }
            checked.no_other_inputs();
        }
        if let ConnectorSpec::Qformer { tokenizer, max_instruction_tokens, .. } = &self.connector {
            self.require_file(tokenizer, "connector.tokenizer", problems);
            problems.require_size(*max_instruction_tokens, "connector.max_instruction_tokens");
        }
    }

    fn check_decoder(&self, name: &str, decoder: &DecoderSpec, problems: &mut Problems) {
        let place = format!("decoders.{name}");
        for (field, size) in [
            ("key_value_heads", decoder.key_value_heads),
            ("head_dim", decoder.head_dim),
            ("vocabulary", decoder.vocabulary),
        ] {
            problems.require_size(size, &format!("{place}.{field}"));
        }
        problems.require((1..=MOST_LAYERS).contains(&decoder.layers), || {
            format!("{place}.layers: expected a number from 1 to {MOST_LAYERS}, found {}", decoder.layers)
        });
        problems.require(!decoder.variants.is_empty(), || format!("{place}.variants: expected at least one"));
        let distinct: BTreeSet<&String> = decoder.adapters.iter().collect();
        problems.require(distinct.len() == decoder.adapters.len(), || {
            format!("{place}.adapters: a name appears twice")
        });
        problems.require(decoder.adapters.is_empty() == decoder.inputs.adapter_ids.is_none(), || {
            format!("{place}: adapters and inputs.adapter_ids go together")
        });
        let caches = [
            ("inputs.past_key", &decoder.inputs.past_key),
            ("inputs.past_value", &decoder.inputs.past_value),
            ("outputs.present_key", &decoder.outputs.present_key),
            ("outputs.present_value", &decoder.outputs.present_value),
        ];
        for (field, template) in caches {
            problems.require(template.matches(LAYER).count() == 1, || {
                format!("{place}.{field}: expected a name with {LAYER}, found \"{template}\"")
            });
        }
        if let Some(file) = &decoder.output_ids {
            self.require_file(file, &format!("{place}.output_ids"), problems);
        }
        for (variant, spec) in &decoder.variants {
            let place = format!("{place}.variants.{variant}");
            if let Some(graph) = self.require_graph(&spec.graph, &place, problems) {
                self.check_decoder_graph(decoder, &spec.graph, graph, problems);
            }
        }
        if let Some(head) = &decoder.full_head
            && let Some(graph) = self.require_graph(&head.graph, &format!("{place}.full_head"), problems)
        {
            let mut checked = Checked::new(&head.graph, graph, problems);
            checked.input(&head.hidden, DType::F32, &[None, Some(self.language.hidden)]);
            checked.output(&head.logits, DType::F32, &[None, Some(decoder.vocabulary)]);
            checked.no_other_inputs();
        }
    }

    fn check_decoder_graph(
        &self,
        decoder: &DecoderSpec,
        name: &str,
        graph: &GraphSpec,
        problems: &mut Problems,
    ) {
        let (inputs, outputs) = (&decoder.inputs, &decoder.outputs);
        let mut checked = Checked::new(name, graph, problems);
        checked.input(&inputs.input_ids, DType::I64, &[None, None]);
        checked.input(&inputs.image_embeddings, DType::F32, &[None, None, Some(self.language.hidden)]);
        checked.input(&inputs.past_lengths, DType::I64, &[None]);
        checked.input(&inputs.logits_indices, DType::I64, &[None]);
        if let Some(adapter_ids) = &inputs.adapter_ids {
            checked.input(adapter_ids, DType::I64, &[None]);
        }
        let cache = [None, Some(decoder.key_value_heads), None, Some(decoder.head_dim)];
        for layer in 0..decoder.layers.min(MOST_LAYERS) {
            let named = |template: &str| template.replace(LAYER, &layer.to_string());
            checked.input(&named(&inputs.past_key), DType::F32, &cache);
            checked.input(&named(&inputs.past_value), DType::F32, &cache);
            checked.output(&named(&outputs.present_key), DType::F32, &cache);
            checked.output(&named(&outputs.present_value), DType::F32, &cache);
        }
        let logits = if decoder.output_ids.is_some() { None } else { Some(decoder.vocabulary) };
        checked.output(&outputs.next_ids, DType::I64, &[None]);
        checked.output(&outputs.next_logprobs, DType::F32, &[None]);
        checked.output(&outputs.logits, DType::F32, &[None, logits]);
        checked.output(&outputs.hidden, DType::F32, &[None, Some(self.language.hidden)]);
        checked.no_other_inputs();
    }

    fn require_file(&self, path: &str, place: &str, problems: &mut Problems) {
        problems.require(self.files.contains_key(path), || {
            format!("{place}: \"{path}\" is not listed under files")
        });
    }

    fn require_graph(&self, name: &str, place: &str, problems: &mut Problems) -> Option<&GraphSpec> {
        let graph = self.graphs.get(name);
        problems.require(graph.is_some(), || format!("{place}: graph \"{name}\" is not listed under graphs"));
        graph
    }

    fn require_decoder(&self, name: &str, adapter: Option<&str>, place: &str, problems: &mut Problems) {
        let Some(decoder) = self.decoders.get(name) else {
            problems.list.push(format!("{place}: decoder \"{name}\" is not listed under decoders"));
            return;
        };
        problems.require(decoder.adapter_id(adapter).is_some(), || {
            format!("{place}: decoder \"{name}\" has no adapter \"{}\"", adapter.unwrap_or_default())
        });
    }
}

/// Collects what is wrong.
#[derive(Default)]
struct Problems {
    list: Vec<String>,
}

impl Problems {
    fn require_size(&mut self, size: usize, place: &str) {
        self.require((1..=LARGEST).contains(&size), || {
            format!("{place}: expected a number from 1 to {LARGEST}, found {size}")
        });
    }

    fn require(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.list.push(problem());
        }
    }
}

/// A graph whose declared signature is compared with what its role asks for.
struct Checked<'a> {
    name: &'a str,
    inputs: BTreeMap<&'a str, &'a TensorSpec>,
    outputs: BTreeMap<&'a str, &'a TensorSpec>,
    used: BTreeSet<String>,
    problems: &'a mut Problems,
}

impl<'a> Checked<'a> {
    fn new(name: &'a str, graph: &'a GraphSpec, problems: &'a mut Problems) -> Self {
        let by_name = |list: &'a [TensorSpec]| list.iter().map(|spec| (spec.name.as_str(), spec)).collect();
        Self {
            name,
            inputs: by_name(&graph.inputs),
            outputs: by_name(&graph.outputs),
            used: BTreeSet::new(),
            problems,
        }
    }

    /// `None` in `shape` stands for an axis of any length.
    fn input(&mut self, name: &str, dtype: DType, shape: &[Option<usize>]) {
        self.used.insert(name.to_owned());
        let found = self.inputs.get(name).copied();
        self.compare("input", name, found, dtype, Some(shape));
    }

    fn output(&mut self, name: &str, dtype: DType, shape: &[Option<usize>]) {
        let found = self.outputs.get(name).copied();
        self.compare("output", name, found, dtype, Some(shape));
    }

    fn input_named(&mut self, name: &str, dtype: DType) {
        self.used.insert(name.to_owned());
        let found = self.inputs.get(name).copied();
        self.compare("input", name, found, dtype, None);
    }

    fn output_named(&mut self, name: &str, dtype: DType) {
        let found = self.outputs.get(name).copied();
        self.compare("output", name, found, dtype, None);
    }

    fn compare(
        &mut self,
        direction: &str,
        name: &str,
        found: Option<&TensorSpec>,
        dtype: DType,
        shape: Option<&[Option<usize>]>,
    ) {
        let graph = self.name;
        let Some(found) = found else {
            self.problems.list.push(format!("graphs.{graph}: no {direction} \"{name}\""));
            return;
        };
        let axis_fits = |(wanted, found): (&Option<usize>, &Dim)| match (wanted, found) {
            (Some(wanted), Dim::Fixed(found)) => wanted == found,
            _ => true,
        };
        let fits = found.dtype == dtype
            && shape.is_none_or(|shape| {
                shape.len() == found.shape.len() && shape.iter().zip(&found.shape).all(axis_fits)
            });
        self.problems.require(fits, || {
            let axes = shape.map(|shape| {
                let axes: Vec<String> = shape
                    .iter()
                    .map(|axis| axis.map_or("?".to_owned(), |length| length.to_string()))
                    .collect();
                format!("[{}]", axes.join(", "))
            });
            format!(
                "graphs.{graph}: {direction} \"{name}\": expected {dtype}{}, found {}",
                axes.unwrap_or_default(),
                found.signature()
            )
        });
    }

    fn no_other_inputs(&mut self) {
        for name in self.inputs.keys() {
            self.problems.require(self.used.contains(*name), || {
                format!("graphs.{}: input \"{name}\" has no role in the manifest", self.name)
            });
        }
    }
}

fn slot_names(slots: &[Slot]) -> String {
    slots.iter().map(|slot| slot.name()).collect::<Vec<_>>().join(", ")
}
