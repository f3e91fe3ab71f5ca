"""`random`: a whole package of a real model's shape with random weights. It says nothing sensible, at the real
model's speed.

The weights are all distinct: ONNX Runtime merges equal tensors, which would flatter every measurement. They are made
and written tensor by tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rsmoe_export import manifest
from rsmoe_export.decoder.builder import DecoderOptions, build_decoder
from rsmoe_export.decoder.config import DecoderConfig, Llama3Scaling
from rsmoe_export.decoder.head import build_full_head
from rsmoe_export.decoder.weights import Adapter
from rsmoe_export.package import Package
from rsmoe_export.random_vision import Eyes, eva_clip_and_qformer, lite_and_projection
from rsmoe_export.sources.random import RandomDecoder, random_low_rank
from rsmoe_export.tiny import common, text
from rsmoe_export.tokenizer import byte_level_bpe

MAX_CONTEXT = 512
#: Words that the head covers, as many as a package trained on captions uses.
SHORTLIST = 3200
ADAPTER_RANK = 8
#: Frobenius norm of what an adapter adds to a weight, in the weight's; the median of rsmoe-mini's is .036.
ADAPTER_STRENGTH = 0.04
#: As Llama-3.2's config.json has it.
_LLAMA32_SCALING = Llama3Scaling(32.0, 1.0, 4.0, 8192)


@dataclass(frozen=True)
class Shape:
    """What a package is made of."""

    decoder: DecoderConfig
    eyes: Callable[[Package, int, int], Eyes]


#: Decoders: vocabulary, hidden, intermediate, layers, heads, key-value heads, head size, epsilon, theta, positions.
SHAPES = {
    "tinyllama": Shape(
        DecoderConfig(32000, 2048, 5632, 22, 32, 4, 64, 1e-5, 10000.0, MAX_CONTEXT), lite_and_projection
    ),
    "smollm2": Shape(DecoderConfig(49152, 576, 1536, 30, 9, 3, 64, 1e-5, 10000.0, MAX_CONTEXT), lite_and_projection),
    # The paper's: EVA-CLIP ViT-g/14, a Q-Former, and language models of Llama-3.2-1B's shape.
    "paper": Shape(
        DecoderConfig(128256, 2048, 8192, 16, 32, 8, 64, 1e-5, 500000.0, MAX_CONTEXT, _LLAMA32_SCALING),
        eva_clip_and_qformer,
    ),
}
_GENERATION = {"max_new_tokens": {"caption": 40, "router": 48, "expert": 40, "answer": 8}}


def build_random(out: Path, shape: str, layout: str, variants: Sequence[str], seed: int) -> None:
    """Writes the package of one of `SHAPES`, its decoders in the given layout."""
    if shape not in SHAPES:
        raise ValueError(f"unknown shape {shape!r}; there are {', '.join(SHAPES)}")
    config = SHAPES[shape].decoder
    vocabulary = config.vocabulary
    package = Package(out)
    package.add_file("tokenizer.json", _tokenizer(vocabulary))
    ids = np.sort(np.random.RandomState(seed).permutation(np.arange(3, vocabulary))[: SHORTLIST - 2])
    output_ids = np.array([0, 2, *ids], np.int32)
    package.add_file("output_ids.bin", output_ids.astype("<i4").tobytes())
    print(f"{out}: vision encoder and connector", flush=True)
    eyes = SHAPES[shape].eyes(package, config.hidden, seed)
    adapters: list[Adapter] = []
    if layout == "adapter":
        names = ("router", *common.EXPERTS)
        adapters = [
            Adapter(name, random_low_rank(config, seed + 3000 + number, ADAPTER_RANK, ADAPTER_STRENGTH))
            for number, name in enumerate(names)
        ]
    decoders = {}
    for number, name in enumerate(["base"] if layout == "adapter" else ["base", *common.EXPERTS]):
        source = RandomDecoder(config, seed + 4000 + number)
        for variant in variants:
            print(f"{out}: {name}.{variant}", flush=True)
            options = DecoderOptions(variant, adapters, output_ids, eyes.image_tokens)
            package.add_graph(
                f"{name}.{variant}", build_decoder(package.path(f"{name}.{variant}.onnx"), source, options)
            )
        package.add_graph(f"{name}.full_head", build_full_head(package.path(f"{name}.full_head.onnx"), source))
        names = [adapter.name for adapter in adapters]
        decoders[name] = manifest.decoder_entry(name, config, variants, names, "output_ids.bin", True)
    router = {"kind": "generative", "decoder": "base"} | ({"adapter": "router"} if adapters else {})
    package.write_manifest(
        {
            "name": f"random-{shape}",
            "description": f"Random weights of the {shape} shape, {layout} layout, for measurements",
            "license": common.LICENSE,
            "provenance": manifest.provenance("random", "random", f"seed {seed}"),
            "ground_resolution_m": {"min": 0.2, "max": 3.0},
            "vision_encoder": eyes.vision_entry,
            "connector": eyes.connector_entry,
            "language": manifest.language_entry(config.hidden, MAX_CONTEXT),
            "decoders": decoders,
            "variants": manifest.variant_choice(variants),
            "experts": manifest.experts_entry(layout, common.EXPERTS),
            "router": router,
            "captioner": {"decoder": "base"},
            "generation": _GENERATION,
        }
    )


def _tokenizer(vocabulary: int) -> bytes:
    """The tiny tokenizer, filled up to the size of the vocabulary with words that no text has."""
    merges = text.byte_pair_merges(text.CORPUS, 200)
    tokens = [*text.SPECIAL, *text.byte_alphabet(), *(left + right for left, right in merges)]
    tokens += [f"Ġword{number}" for number in range(vocabulary - len(tokens))]
    return byte_level_bpe(tokens, [f"{left} {right}" for left, right in merges], range(len(text.SPECIAL)))
