"""Vision encoders and connectors of random packages."""

from __future__ import annotations

from dataclasses import dataclass

from rsmoe_export import manifest
from rsmoe_export.connector.projection import ProjectionSpec, build_projection
from rsmoe_export.connector.projection import tensor_shapes as projection_shapes
from rsmoe_export.connector.qformer import QFormerSpec, build_qformer
from rsmoe_export.connector.qformer import tensor_shapes as qformer_shapes
from rsmoe_export.package import Package
from rsmoe_export.tiny import common, text
from rsmoe_export.tokenizer import word_piece
from rsmoe_export.vision.efficientnet import build_tower, lite
from rsmoe_export.vision.efficientnet import tensor_shapes as tower_shapes
from rsmoe_export.vision.vit import VitSpec, build_vit
from rsmoe_export.vision.vit import tensor_shapes as vit_shapes

#: EVA-CLIP ViT-g/14 as BLIP-2 takes it: 39 of its 40 blocks.
EVA_CLIP_G = VitSpec(side=224, patch=14, width=1408, heads=16, layers=39, intermediate=6144)
#: Queries of InstructBLIP's Q-Former, whose other sizes are those of BERT-base.
QUERIES = 32
#: Longest instruction that it reads, tokens.
MAX_INSTRUCTION_TOKENS = 128
#: Mean and deviation of CLIP's pixels.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Eyes:
    """What the manifest and the decoders have to know of encoder and connector."""

    image_tokens: int
    vision_entry: dict[str, object]
    connector_entry: dict[str, object]


def lite_and_projection(package: Package, hidden: int, seed: int) -> Eyes:
    """EfficientNet-Lite2 at 224 pixels, and a projection to `hidden` channels."""
    tower = lite("lite2", 224, 224)
    weights = common.RandomTensors(tower_shapes(tower), seed + 1000)
    package.add_graph(manifest.VISION, build_tower(package.path("vision.onnx"), tower, weights))
    connector = ProjectionSpec(*tower.grid, tower.head, hidden)
    weights = common.random_tensors(projection_shapes(connector, inner=768), seed + 2000)
    package.add_graph("connector", build_projection(package.path("connector.onnx"), connector, weights))
    return Eyes(
        connector.image_tokens,
        manifest.vision_entry(tower.width, tower.height, common.MEAN, common.STD),
        manifest.connector_entry("projection", connector.image_tokens),
    )


def eva_clip_and_qformer(package: Package, hidden: int, seed: int) -> Eyes:
    """The paper's: EVA-CLIP ViT-g/14 in w8a8, InstructBLIP's Q-Former and a linear layer to `hidden` in float."""
    vision = EVA_CLIP_G
    connector = QFormerSpec(
        vocabulary=30522,
        width=768,
        heads=12,
        layers=12,
        intermediate=3072,
        max_positions=512,
        queries=QUERIES,
        cells=(vision.tokens,),
        channels=vision.width,
        hidden=hidden,
    )
    return vit_and_qformer(package, vision, connector, seed)


def vit_and_qformer(package: Package, vision: VitSpec, connector: QFormerSpec, seed: int) -> Eyes:
    """A vision transformer in w8a8, and a Q-Former in float."""
    weights = common.RandomTensors(vit_shapes(vision), seed + 1000)
    package.add_graph(manifest.VISION, build_vit(package.path("vision.onnx"), vision, weights, "w8a8"))
    weights = common.RandomTensors(qformer_shapes(connector), seed + 2000)
    path = package.path("connector.onnx")
    package.add_graph("connector", build_qformer(path, connector, weights, external=True))
    longest = min(MAX_INSTRUCTION_TOKENS, connector.max_positions)
    _, tokens = text.instruction_tokenizer(longest)
    tokens += [f"word{number}" for number in range(connector.vocabulary - len(tokens))]
    package.add_file("qformer_tokenizer.json", word_piece(tokens, longest))
    return Eyes(
        connector.queries,
        manifest.vision_entry(vision.side, vision.side, CLIP_MEAN, CLIP_STD),
        manifest.connector_entry(
            "qformer",
            connector.queries,
            instruction_ids="instruction_ids",
            instruction_mask="instruction_mask",
            tokenizer="qformer_tokenizer.json",
            max_instruction_tokens=longest,
        ),
    )
