"""Connector kind `projection`: neighbouring grid cells merged, normalised and projected by a two-layer perceptron;
optionally two concept tokens after them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rsmoe_export.connector import concepts
from rsmoe_export.graph import Graph, GraphFiles

#: Grid cells per side of a merged block.
MERGE = 2
#: Epsilon of the layer norm.
EPSILON = 1e-5


@dataclass(frozen=True)
class ProjectionSpec:
    """Input grid and widths."""

    rows: int
    cols: int
    channels: int
    hidden: int
    #: Whether the two concept tokens follow the grid's tokens.
    concepts: bool = False

    @property
    def blocks(self) -> tuple[int, int]:
        """Merged blocks per column and per row of the padded grid."""
        return math.ceil(self.rows / MERGE), math.ceil(self.cols / MERGE)

    @property
    def grid_tokens(self) -> int:
        """One image token per merged block, row-major."""
        return self.blocks[0] * self.blocks[1]

    @property
    def image_tokens(self) -> int:
        """The grid's tokens, then the concept tokens."""
        return self.grid_tokens + (concepts.CONCEPT_TOKENS if self.concepts else 0)


def build_projection(path: Path, spec: ProjectionSpec, weights: Mapping[str, np.ndarray]) -> GraphFiles:
    """features f32 `[batch, rows, cols, channels]` -> image_embeddings f32 `[batch, image_tokens, hidden]`.

    The grid is padded with zeros at the bottom and right to whole blocks; a block is its four cells (top left, top
    right, bottom left, bottom right) one after the other. Weights: norm.{weight,bias} `[4 * channels]`, fc1.weight
    `[inner, 4 * channels]`, fc1.bias, fc2.weight `[hidden, inner]`, fc2.bias, position `[grid_tokens, hidden]`; GELU
    is the exact one. The tensors of concept tokens: `concepts.tensor_shapes`.
    """
    graph = Graph(path)
    down, across = spec.blocks
    width = MERGE * MERGE * spec.channels

    def tensor(name: str, shape: tuple[int | None, ...]) -> np.ndarray:
        array = weights[name].astype(np.float32)
        if len(array.shape) != len(shape) or any(
            want not in (None, have) for have, want in zip(array.shape, shape, strict=True)
        ):
            raise ValueError(f"connector tensor {name!r}: expected {shape}, found {array.shape}")
        return array

    features = x = graph.input("features", "f32", ["batch", spec.rows, spec.cols, spec.channels])
    missing = (down * MERGE - spec.rows, across * MERGE - spec.cols)
    if any(missing):
        x = graph.node("Pad", [x, graph.const([0, 0, 0, 0, 0, *missing, 0])], stem="padded")
    x = graph.reshape(x, [-1, down, MERGE, across, MERGE, spec.channels], stem="cells")
    x = graph.node("Transpose", [x], stem="blocks", perm=[0, 1, 3, 2, 4, 5])
    x = graph.reshape(x, [-1, spec.grid_tokens, width], stem="merged")
    scale, shift = (graph.weight(f"norm.{part}", tensor(f"norm.{part}", (width,))) for part in ("weight", "bias"))
    x = graph.node("LayerNormalization", [x, scale, shift], stem="norm", axis=-1, epsilon=EPSILON)
    first = tensor("fc1.weight", (None, width))
    x = graph.node("MatMul", [x, graph.weight("fc1.weight", first.T)], stem="fc1")
    x = graph.node("Add", [x, graph.weight("fc1.bias", tensor("fc1.bias", first.shape[:1]))], stem="fc1_biased")
    x = graph.node("Gelu", [x], stem="gelu", approximate="none")
    second = tensor("fc2.weight", (spec.hidden, first.shape[0]))
    x = graph.node("MatMul", [x, graph.weight("fc2.weight", second.T)], stem="fc2")
    # The output bias is the same for every token: it joins the learned positions.
    position = tensor("position", (spec.grid_tokens, spec.hidden)) + tensor("fc2.bias", (spec.hidden,))
    out = graph.output("image_embeddings", "f32", ["batch", spec.image_tokens, spec.hidden])
    placed = [x, graph.weight("position", position)]
    if spec.concepts:
        grid = graph.node("Add", placed, stem="grid")
        whole = concepts.emit_concepts(graph, features, spec.hidden, tensor, spec.channels)
        graph.node("Concat", [grid, whole], out=out, axis=1)
    else:
        graph.node("Add", placed, out=out)
    return graph.save()


def tensor_shapes(spec: ProjectionSpec, inner: int, classes: int = 0, words: int = 0) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that `build_projection` reads, for an inner layer of the given width; with
    concept tokens, for so many classes and words.
    """
    merged = MERGE * MERGE * spec.channels
    shapes = {
        "norm.weight": (merged,),
        "norm.bias": (merged,),
        "fc1.weight": (inner, merged),
        "fc1.bias": (inner,),
        "fc2.weight": (spec.hidden, inner),
        "fc2.bias": (spec.hidden,),
        "position": (spec.grid_tokens, spec.hidden),
    }
    if spec.concepts:
        shapes |= concepts.tensor_shapes(spec.channels, spec.hidden, classes, words)
    return shapes
