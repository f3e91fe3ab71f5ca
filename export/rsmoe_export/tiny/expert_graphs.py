"""tests/packages/tiny-graph: graph layout, Q-Former connector with its own tokenizer, q/k/v biases, whole-vocabulary
head.
"""

from __future__ import annotations

from pathlib import Path

from rsmoe_export import manifest
from rsmoe_export.connector.qformer import QFormerSpec, build_qformer
from rsmoe_export.connector.qformer import tensor_shapes as qformer_shapes
from rsmoe_export.decoder.builder import DecoderOptions, build_decoder
from rsmoe_export.decoder.config import DecoderConfig
from rsmoe_export.package import Package
from rsmoe_export.sources.random import RandomDecoder
from rsmoe_export.tiny import common, text
from rsmoe_export.tiny.model import TinyModel
from rsmoe_export.tiny.weights import TinyDecoder
from rsmoe_export.vision.efficientnet import build_tower, tensor_shapes

#: Chosen so that no greedy choice of the golden run is close (see tests/test_export_tiny.py).
SEED = 1487
EXPERTS = ("theme", "objects")
DECODERS = ("base", *EXPERTS)
MERGES = 48
MAX_CONTEXT = 96
MAX_INSTRUCTION_TOKENS = 32


def model() -> TinyModel:
    """Tower, Q-Former and four decoders of different depth, all random."""
    _, tokens = text.language_tokenizer(MERGES, ascii_only=True)
    _, instruction_tokens = text.instruction_tokenizer(MAX_INSTRUCTION_TOKENS)
    words = text.ascii_words(tokens)
    decoders = {}
    for number, name in enumerate(DECODERS):
        config = DecoderConfig(
            vocabulary=len(tokens),
            hidden=32,
            intermediate=64,
            layers=2 if name == "base" else 1,
            heads=2,
            key_value_heads=2,
            head_dim=16,
            rms_epsilon=1e-6,
            rope_theta=1000000.0,
            max_positions=MAX_CONTEXT,
        )
        decoders[name] = TinyDecoder(
            RandomDecoder(config, SEED + number, gain=0.85, biases=True), words, tokens.index("Ċ"), sharpness=2.0
        )
    tower = common.tiny_tower(height=32, width=32)
    connector = QFormerSpec(
        vocabulary=len(instruction_tokens),
        width=32,
        heads=2,
        layers=2,
        intermediate=48,
        max_positions=MAX_INSTRUCTION_TOKENS,
        queries=4,
        cells=tower.grid,
        channels=tower.head,
        hidden=32,
    )
    return TinyModel(
        tower=tower,
        tower_weights=common.random_tensors(tensor_shapes(tower), SEED + 100),
        connector=connector,
        connector_weights=common.random_tensors(qformer_shapes(connector), SEED + 200),
        decoders=decoders,
        adapters=(),
        output_ids=None,
    )


def build(root: Path) -> tuple[Package, dict[str, object], TinyModel]:
    """Writes all files but golden vectors and manifest; returns the package, the manifest's facts and the model."""
    package, tiny = Package(root), model()
    document, _ = text.language_tokenizer(MERGES, ascii_only=True)
    package.add_file("tokenizer.json", document)
    instruction_document, _ = text.instruction_tokenizer(MAX_INSTRUCTION_TOKENS)
    package.add_file("qformer_tokenizer.json", instruction_document)
    vision = build_tower(package.path("vision.onnx"), tiny.tower, tiny.tower_weights)
    package.add_graph(manifest.VISION, vision)
    package.add_graph(
        "connector", build_qformer(package.path("connector.onnx"), tiny.connector, tiny.connector_weights)
    )
    for name, source in tiny.decoders.items():
        for variant in common.VARIANTS:
            options = DecoderOptions(variant, image_tokens=tiny.connector.queries)
            path = package.path(f"{name}.{variant}.onnx")
            package.add_graph(f"{name}.{variant}", build_decoder(path, source, options))
    facts = {
        "name": "tiny-graph",
        "description": "Random weights for tests: graph layout, Q-Former connector, whole-vocabulary head",
        "license": common.LICENSE,
        "provenance": manifest.provenance("random", "random", f"seed {SEED}"),
        "ground_resolution_m": {"min": 0.2, "max": 3.0},
        "vision_encoder": manifest.vision_entry(tiny.tower.width, tiny.tower.height, common.MEAN, common.STD),
        "connector": manifest.connector_entry(
            "qformer",
            tiny.connector.queries,
            instruction_ids="instruction_ids",
            instruction_mask="instruction_mask",
            tokenizer="qformer_tokenizer.json",
            max_instruction_tokens=MAX_INSTRUCTION_TOKENS,
        ),
        "language": manifest.language_entry(32, MAX_CONTEXT),
        "decoders": {
            name: manifest.decoder_entry(name, source.config, common.VARIANTS, (), None, False)
            for name, source in tiny.decoders.items()
        },
        "variants": manifest.variant_choice(common.VARIANTS),
        "experts": manifest.experts_entry("graph", EXPERTS),
        "router": {"kind": "generative", "decoder": "base"},
        "captioner": {"decoder": "base"},
        "generation": common.GENERATION,
    }
    return package, facts, tiny
