"""The vision transformer of EVA-CLIP as BLIP-2 and InstructBLIP use it: pre-norm blocks over patches and a class token.

Source: Fang et al., "EVA" (arXiv 2211.07636); layer order and tensor names as in transformers'
`InstructBlipVisionModel`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rsmoe_export.decoder.products import Linear, Products, Rows, products
from rsmoe_export.graph import MICROSOFT, Graph, GraphFiles


@dataclass(frozen=True)
class VitSpec:
    """Shapes of the transformer and of its square input."""

    #: Side of the picture and of a patch, pixels.
    side: int
    patch: int
    width: int
    heads: int
    layers: int
    intermediate: int
    epsilon: float = 1e-6

    @property
    def tokens(self) -> int:
        """The class token, then one token per patch, row-major."""
        return 1 + (self.side // self.patch) ** 2


def build_vit(path: Path, spec: VitSpec, weights: Mapping[str, np.ndarray], variant: str) -> GraphFiles:
    """pixel_values f32 `[batch, 3, side, side]` -> features f32 `[batch, tokens, width]`, after the last norm.

    Linear layers are those of `variant` (see `decoder.products`). A weight is read when it is written, and only then.
    """
    return _Emitter(Graph(path, external=True), spec, weights, products(variant)).build()


@dataclass
class _Emitter:
    graph: Graph
    spec: VitSpec
    weights: Mapping[str, np.ndarray]
    products: Products

    def tensor(self, name: str) -> np.ndarray:
        return self.weights[name].astype(np.float32)

    def weight(self, name: str, stem: str) -> str:
        return self.graph.weight(stem, self.tensor(name))

    def linear(self, x: str, name: str, rows: Rows) -> str:
        weight, bias = (self.tensor(f"{name}.{part}") for part in ("weight", "bias"))
        return self.products.linears(self.graph, x, [Linear(name.rsplit(".", 1)[-1], weight, bias=bias)], rows)[0]

    def norm(self, x: str, name: str) -> str:
        stem = name.rsplit(".", 1)[-1]
        parts = [self.weight(f"{name}.{part}", f"{stem}.{part}") for part in ("weight", "bias")]
        return self.graph.node("LayerNormalization", [x, *parts], stem=stem, axis=-1, epsilon=self.spec.epsilon)

    def attend(self, x: str, name: str, rows: Rows) -> str:
        """Multi-head attention within each picture, x f32 `[batch * tokens, width]`."""
        graph, spec = self.graph, self.spec
        fused = self.linear(x, f"{name}.qkv", rows)
        shape = [spec.tokens, 3 * spec.width]
        by_picture = graph.reshape(fused, [-1, *shape], stem="by_picture", dims=["batch", *shape])
        parts = graph.split(by_picture, [spec.width] * 3, axis=-1)
        mixed = graph.node("MultiHeadAttention", parts, stem="mixed", domain=MICROSOFT, num_heads=spec.heads)
        joined = graph.reshape(mixed, [-1, spec.width], stem="joined", dims=["rows", spec.width])
        return self.linear(joined, f"{name}.projection", rows)

    def embed(self, pixels: str) -> str:
        """Tokens f32 `[batch, tokens, width]` with their positions."""
        graph, spec = self.graph, self.spec
        side = [spec.patch, spec.patch]
        parts = [self.weight(f"embeddings.patch_embedding.{part}", part) for part in ("weight", "bias")]
        cells = graph.node("Conv", [pixels, *parts], stem="cells", kernel_shape=side, strides=side)
        patches = graph.node("Transpose", [graph.reshape(cells, [0, spec.width, -1])], stem="patches", perm=[0, 2, 1])
        batch = graph.node("Shape", [pixels], stem="batch", start=0, end=1)
        shape = graph.node("Concat", [batch, graph.const([1, spec.width])], axis=0)
        first = graph.node("Expand", [self.weight("embeddings.class_embedding", "class"), shape])
        tokens = graph.node("Concat", [first, patches], stem="tokens", axis=1)
        return graph.node("Add", [tokens, self.weight("embeddings.position_embedding", "position")], stem="placed")

    def build(self) -> GraphFiles:
        graph, spec = self.graph, self.spec
        pixels = graph.input("pixel_values", "f32", ["batch", 3, spec.side, spec.side])
        with graph.scope("embed"):
            x = graph.reshape(self.embed(pixels), [-1, spec.width], stem="x", dims=["rows", spec.width])
            rows = Rows(graph.node("Shape", [x], stem="rows", start=0, end=1), None)
        for index in range(spec.layers):
            layer = f"encoder.layers.{index}"
            with graph.scope(f"l{index}"):
                attended = self.attend(self.norm(x, f"{layer}.layer_norm1"), f"{layer}.self_attn", rows)
                x = graph.node("Add", [x, attended], stem="x")
                inner = self.linear(self.norm(x, f"{layer}.layer_norm2"), f"{layer}.mlp.fc1", rows)
                inner = graph.node("Gelu", [inner], stem="gelu", approximate="none")
                x = graph.node("Add", [x, self.linear(inner, f"{layer}.mlp.fc2", rows)], stem="x")
        normed = self.norm(x, "post_layernorm")
        features = graph.output("features", "f32", ["batch", spec.tokens, spec.width])
        graph.node("Reshape", [normed, graph.const([-1, spec.tokens, spec.width])], out=features)
        return graph.save()


def tensor_shapes(spec: VitSpec) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that `build_vit` reads."""
    width = spec.width
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.class_embedding": (1, 1, width),
        "embeddings.position_embedding": (1, spec.tokens, width),
        "embeddings.patch_embedding.weight": (width, 3, spec.patch, spec.patch),
        "embeddings.patch_embedding.bias": (width,),
    }
    for index in range(spec.layers):
        layer = f"encoder.layers.{index}"
        for name, out, inputs in (
            ("self_attn.qkv", 3 * width, width),
            ("self_attn.projection", width, width),
            ("mlp.fc1", spec.intermediate, width),
            ("mlp.fc2", width, spec.intermediate),
        ):
            shapes |= {f"{layer}.{name}.weight": (out, inputs), f"{layer}.{name}.bias": (out,)}
        for name in ("layer_norm1", "layer_norm2"):
            shapes |= {f"{layer}.{name}.{part}": (width,) for part in ("weight", "bias")}
    return shapes | {f"post_layernorm.{part}": (width,) for part in ("weight", "bias")}
