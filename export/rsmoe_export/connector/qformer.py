"""Connector kind `qformer`: InstructBLIP's Q-Former and its projection to the language model's width.

Source: Dai et al., "InstructBLIP" (arXiv 2305.06500); layer order and tensor names as in transformers'
`InstructBlipQFormerModel`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rsmoe_export.graph import Graph, GraphFiles


@dataclass(frozen=True)
class QFormerSpec:
    """Shapes of a Q-Former and of what it joins."""

    vocabulary: int
    width: int
    heads: int
    layers: int
    intermediate: int
    max_positions: int
    queries: int
    #: Cells of the vision features, `(rows, columns)` or `(tokens,)`, and their channels.
    cells: tuple[int, ...]
    channels: int
    #: Width of the language model.
    hidden: int
    #: Every how many layers the queries attend to the vision features (layer 0 does).
    cross_attention_frequency: int = 2
    epsilon: float = 1e-12


def build_qformer(
    path: Path, spec: QFormerSpec, weights: Mapping[str, np.ndarray], *, external: bool = False
) -> GraphFiles:
    """features f32 `[batch, *cells, channels]`, instruction_ids and instruction_mask (i64 `[batch, length]`, 1 = a
    token, 0 = padding) -> image_embeddings f32 `[batch, queries, hidden]`.

    Besides the Q-Former's own tensors: query_tokens `[1, queries, width]`, language_projection.{weight `[hidden,
    width]`, bias}. With `external`, weights go to a file of their own as they are read.
    """
    return _Emitter(Graph(path, external), spec, weights).build()


class _Emitter:
    def __init__(self, graph: Graph, spec: QFormerSpec, weights: Mapping[str, np.ndarray]) -> None:
        self.graph = graph
        self.spec = spec
        self.weights = weights

    def tensor(self, name: str) -> np.ndarray:
        return self.weights[name].astype(np.float32)

    def linear(self, x: str, name: str) -> str:
        graph = self.graph
        product = graph.node("MatMul", [x, graph.weight("w", self.tensor(f"{name}.weight").T)], stem="linear")
        return graph.node("Add", [product, graph.weight("b", self.tensor(f"{name}.bias"))], stem="biased")

    def norm(self, x: str, name: str) -> str:
        parts = [self.graph.weight(f"norm_{part}", self.tensor(f"{name}.{part}")) for part in ("weight", "bias")]
        return self.graph.node("LayerNormalization", [x, *parts], stem="norm", axis=-1, epsilon=self.spec.epsilon)

    def attend(self, name: str, x: str, states: str, mask: str | None) -> str:
        """Multi-head attention of x over states, its output layer, residual and norm."""
        graph, spec = self.graph, self.spec
        size = spec.width // spec.heads
        query, key, value = (
            self.linear(source, f"{name}.attention.{part}")
            for part, source in (("query", x), ("key", states), ("value", states))
        )
        split = [0, -1, spec.heads, size]
        query = graph.node("Transpose", [graph.reshape(query, split)], perm=[0, 2, 1, 3])
        key = graph.node("Transpose", [graph.reshape(key, split)], perm=[0, 2, 3, 1])
        value = graph.node("Transpose", [graph.reshape(value, split)], perm=[0, 2, 1, 3])
        scores = graph.node("Mul", [graph.node("MatMul", [query, key]), graph.const(size**-0.5, "f32")], stem="scores")
        if mask is not None:
            scores = graph.node("Add", [scores, mask], stem="masked")
        mixed = graph.node("MatMul", [graph.node("Softmax", [scores], axis=-1), value], stem="mixed")
        joined = graph.reshape(graph.node("Transpose", [mixed], perm=[0, 2, 1, 3]), [0, -1, spec.width])
        return self.norm(
            graph.node("Add", [self.linear(joined, f"{name}.output.dense"), x]), f"{name}.output.LayerNorm"
        )

    def feed_forward(self, layer: str, x: str, suffix: str) -> str:
        inner = self.graph.node("Gelu", [self.linear(x, f"{layer}.intermediate{suffix}.dense")], approximate="none")
        outer = self.linear(inner, f"{layer}.output{suffix}.dense")
        return self.norm(self.graph.node("Add", [outer, x]), f"{layer}.output{suffix}.LayerNorm")

    def build(self) -> GraphFiles:
        graph, spec = self.graph, self.spec
        features = graph.input("features", "f32", ["batch", *spec.cells, spec.channels])
        ids = graph.input("instruction_ids", "i64", ["batch", "length"])
        text_mask = graph.input("instruction_mask", "i64", ["batch", "length"])
        vision = graph.reshape(features, [0, -1, spec.channels], stem="vision")
        x = self.embed(ids)
        mask = self.mask(text_mask)
        first, last = graph.const([0]), graph.const([np.iinfo(np.int64).max])
        middle, axis = graph.const([spec.queries]), graph.const([1])
        for index in range(spec.layers):
            layer = f"encoder.layer.{index}"
            with graph.scope(f"l{index}"):
                x = self.attend(f"{layer}.attention", x, x, mask)
                queries = graph.node("Slice", [x, first, middle, axis], stem="queries")
                if index % spec.cross_attention_frequency == 0:
                    queries = self.attend(f"{layer}.crossattention", queries, vision, None)
                queries = self.feed_forward(layer, queries, "_query")
                if index + 1 == spec.layers:
                    # Only the queries go on: the text's share of the last layer is not needed.
                    x = queries
                else:
                    text = graph.node("Slice", [x, middle, last, axis], stem="text")
                    x = graph.node("Concat", [queries, self.feed_forward(layer, text, "")], axis=1)
        projected = self.linear(x, "language_projection")
        graph.node(
            "Identity", [projected], out=graph.output("image_embeddings", "f32", ["batch", spec.queries, spec.hidden])
        )
        return graph.save()

    def embed(self, ids: str) -> str:
        """Query tokens, then word plus position embeddings of the instruction, normalised: f32 `[batch, queries +
        length, width]`.
        """
        graph = self.graph
        words = graph.node(
            "Gather", [graph.weight("words", self.tensor("embeddings.word_embeddings.weight")), ids], stem="word"
        )
        length = graph.node("Shape", [ids], stem="length", start=1, end=2)
        table = graph.weight("positions", self.tensor("embeddings.position_embeddings.weight"))
        positions = graph.node("Slice", [table, graph.const([0]), length], stem="position")
        text = graph.node("Add", [words, positions], stem="text")
        batch = graph.node("Shape", [ids], stem="batch", start=0, end=1)
        shape = graph.node("Concat", [batch, graph.const([self.spec.queries, self.spec.width])], axis=0)
        queries = graph.node("Expand", [graph.weight("query_tokens", self.tensor("query_tokens")), shape])
        return self.norm(graph.node("Concat", [queries, text], axis=1), "embeddings.layernorm")

    def mask(self, text_mask: str) -> str:
        """Additive mask f32 `[batch, 1, 1, queries + length]`: padding of the instruction is not seen."""
        graph = self.graph
        batch = graph.node("Shape", [text_mask], stem="mask_batch", start=0, end=1)
        shape = graph.node("Concat", [batch, graph.const([self.spec.queries])], axis=0)
        ones = graph.node("Expand", [graph.const(1), shape])
        seen = graph.node("Cast", [graph.node("Concat", [ones, text_mask], axis=1)], to=1)
        hidden = graph.node("Mul", [graph.node("Sub", [graph.const(1, "f32"), seen]), graph.const(-1e9, "f32")])
        return graph.node("Unsqueeze", [hidden, graph.const([1, 2])], stem="mask")


def tensor_shapes(spec: QFormerSpec) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that `build_qformer` reads."""
    width = spec.width
    shapes: dict[str, tuple[int, ...]] = {
        "query_tokens": (1, spec.queries, width),
        "embeddings.word_embeddings.weight": (spec.vocabulary, width),
        "embeddings.position_embeddings.weight": (spec.max_positions, width),
        "embeddings.layernorm.weight": (width,),
        "embeddings.layernorm.bias": (width,),
    }

    def linear(name: str, out: int, inputs: int) -> None:
        shapes.update({f"{name}.weight": (out, inputs), f"{name}.bias": (out,)})

    def attention(name: str, states: int) -> None:
        linear(f"{name}.attention.query", width, width)
        linear(f"{name}.attention.key", width, states)
        linear(f"{name}.attention.value", width, states)
        linear(f"{name}.output.dense", width, width)
        shapes.update({f"{name}.output.LayerNorm.{part}": (width,) for part in ("weight", "bias")})

    for index in range(spec.layers):
        layer = f"encoder.layer.{index}"
        attention(f"{layer}.attention", width)
        if index % spec.cross_attention_frequency == 0:
            attention(f"{layer}.crossattention", spec.channels)
        for suffix in ("", "_query"):
            linear(f"{layer}.intermediate{suffix}.dense", spec.intermediate, width)
            linear(f"{layer}.output{suffix}.dense", width, spec.intermediate)
            shapes.update({f"{layer}.output{suffix}.LayerNorm.{part}": (width,) for part in ("weight", "bias")})
    linear("language_projection", spec.hidden, width)
    return shapes
