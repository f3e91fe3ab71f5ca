"""tests/packages/tiny-adapter: adapter layout, int8 tower, projection connector with concept tokens, familiarity,
confidence, grouped queries, shortlist with a full head.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rsmoe_export import manifest
from rsmoe_export.calibration.ranges import record
from rsmoe_export.connector.projection import ProjectionSpec, build_projection
from rsmoe_export.connector.projection import tensor_shapes as projection_shapes
from rsmoe_export.decoder.builder import DecoderOptions, build_decoder
from rsmoe_export.decoder.config import DecoderConfig
from rsmoe_export.decoder.head import build_full_head
from rsmoe_export.decoder.weights import Adapter
from rsmoe_export.package import Package
from rsmoe_export.sources.random import RandomDecoder, normal, random_low_rank
from rsmoe_export.tiny import common, text
from rsmoe_export.tiny.model import TinyModel
from rsmoe_export.tiny.weights import TinyDecoder
from rsmoe_export.vision.efficientnet import TowerSpec, build_tower, tensor_shapes
from rsmoe_export.vision.familiarity import Familiarity
from rsmoe_export.vision.int8 import Int8Tower

#: Chosen so that no greedy choice of the golden run is close (see tests/test_export_tiny.py).
SEED = 688
ADAPTERS = ("router", *common.EXPERTS)
RANK = 2
MERGES = 120
MAX_CONTEXT = 96
#: Classes and words of the concept tokens.
CLASSES, WORDS = 7, 11
#: Of four: the int8 part has a skip and both kernel sizes.
FLOAT_BLOCKS = 2
FAMILIARITY_BLOCK = 1
CALIBRATION = {"choice_temperature": 1.6, "text_temperature": 0.8, "unsure_below": 0.35, "silent_below": 0.0}


def familiarity(tower: TowerSpec) -> Familiarity:
    """Random centres, at a scale that tells the golden pictures apart."""
    key, width = SEED + 300, 6
    channels = tower.head + tower.blocks[FAMILIARITY_BLOCK].outputs
    return Familiarity(
        FAMILIARITY_BLOCK,
        mean=1 + normal((key, 0), (channels,), 0.2),
        projection=normal((key, 1), (channels, width), channels**-0.5),
        centres=normal((key, 2), (3, width), 1.0),
        scale=np.array([4.5, 1.6], np.float32),
    )


def int8_tower(tower: TowerSpec, weights: Mapping[str, np.ndarray]) -> Int8Tower:
    """Ranges over a few random pictures."""
    random = np.random.RandomState(SEED)
    ranges, _ = record(tower, weights, (random.uniform(-2, 2.5, (3, tower.height, tower.width)) for _ in range(8)))
    return Int8Tower(FLOAT_BLOCKS, ranges)


def model() -> TinyModel:
    """Tower, connector, decoder and adapters, all random."""
    _, tokens = text.language_tokenizer(MERGES)
    config = DecoderConfig(
        vocabulary=len(tokens),
        hidden=32,
        intermediate=96,
        layers=2,
        heads=4,
        key_value_heads=2,
        head_dim=8,
        rms_epsilon=1e-5,
        rope_theta=10000.0,
        max_positions=MAX_CONTEXT,
    )
    readable = text.ascii_words(tokens)
    # Single letters beyond the newline stay out of the shortlist, so that some words can only be scored by the full
    # head.
    words = [number for number in readable if len(tokens[number]) > 1 or tokens[number] == "Ċ"]
    tower = common.tiny_tower(height=24, width=40)
    tower_weights = common.random_tensors(tensor_shapes(tower), SEED + 100)
    rows, cols = tower.grid
    connector = ProjectionSpec(rows, cols, tower.head, config.hidden, concepts=True)
    return TinyModel(
        tower=tower,
        tower_weights=tower_weights,
        connector=connector,
        connector_weights=common.random_tensors(projection_shapes(connector, 40, CLASSES, WORDS), SEED + 200),
        decoders={"base": TinyDecoder(RandomDecoder(config, SEED, gain=0.8), words, tokens.index("Ċ"), sharpness=2.0)},
        adapters=[
            Adapter(name, random_low_rank(config, SEED * 10 + number, RANK, gain=1.0))
            for number, name in enumerate(ADAPTERS)
        ],
        output_ids=np.array(sorted([0, 2, *words]), np.int32),
        familiarity=familiarity(tower),
        int8=int8_tower(tower, tower_weights),
    )


def build(root: Path) -> tuple[Package, dict[str, object], TinyModel]:
    """Writes all files but golden vectors and manifest; returns the package, the manifest's facts and the model."""
    package, tiny = Package(root), model()
    source = tiny.decoders["base"]
    document, _ = text.language_tokenizer(MERGES)
    package.add_file("tokenizer.json", document)
    package.add_file("output_ids.bin", tiny.output_ids.astype("<i4").tobytes())
    for key, int8 in ((manifest.VISION, None), (manifest.VISION_INT8, tiny.int8)):
        path = package.path(f"{key}.onnx")
        package.add_graph(key, build_tower(path, tiny.tower, tiny.tower_weights, tiny.familiarity, int8))
    package.add_graph(
        "connector", build_projection(package.path("connector.onnx"), tiny.connector, tiny.connector_weights)
    )
    for variant in common.VARIANTS:
        options = DecoderOptions(variant, tiny.adapters, tiny.output_ids, tiny.connector.image_tokens)
        package.add_graph(f"base.{variant}", build_decoder(package.path(f"base.{variant}.onnx"), source, options))
    package.add_graph("base.full_head", build_full_head(package.path("base.full_head.onnx"), source))
    facts = {
        "name": "tiny-adapter",
        "description": "Random weights for tests: adapter layout, int8 tower, projection and concepts, shortlist",
        "license": common.LICENSE,
        "provenance": manifest.provenance("random", "random", f"seed {SEED}"),
        "ground_resolution_m": {"min": 0.2, "max": 3.0},
        "vision_encoder": manifest.vision_entry(
            tiny.tower.width,
            tiny.tower.height,
            common.MEAN,
            common.STD,
            familiarity=True,
            graphs=manifest.vision_graphs(common.VARIANTS, int8=True),
        ),
        "connector": manifest.connector_entry("projection", tiny.connector.image_tokens),
        "language": manifest.language_entry(source.config.hidden, MAX_CONTEXT),
        "decoders": {
            "base": manifest.decoder_entry("base", source.config, common.VARIANTS, ADAPTERS, "output_ids.bin", True)
        },
        "variants": manifest.variant_choice(common.VARIANTS),
        "experts": manifest.experts_entry("adapter", common.EXPERTS),
        "router": {"kind": "generative", "decoder": "base", "adapter": "router"},
        "captioner": {"decoder": "base"},
        "generation": common.GENERATION,
        "confidence": manifest.confidence_entry(CALIBRATION),
    }
    return package, facts, tiny
