"""Builds a decoder graph. Its inputs and outputs are described in export/README.md, section "Decoder graph"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rsmoe_export.calibration.activations import Activations
from rsmoe_export.calibration.smoothing import Smoothed, SmoothedActivations, smooth
from rsmoe_export.decoder.adapters import AdapterStack
from rsmoe_export.decoder.attention import Step, attention, prepare
from rsmoe_export.decoder.config import DecoderConfig
from rsmoe_export.decoder.head import emit_head
from rsmoe_export.decoder.products import Linear, Products, Rows, products
from rsmoe_export.decoder.weights import Adapter, DecoderSource, LayerWeights
from rsmoe_export.graph import MICROSOFT, Graph, GraphFiles
from rsmoe_export.quantize import Int8Blocks, int8_blocks


@dataclass(frozen=True)
class DecoderOptions:
    """How a decoder is written."""

    #: One of `products.VARIANTS`.
    variant: str
    adapters: Sequence[Adapter] = ()
    #: Token ids that the head covers, int32 ascending; None for the whole vocabulary.
    output_ids: np.ndarray | None = None
    #: Length of the dimension `image_tokens` of image_embeddings; None leaves it open (text-only exports).
    image_tokens: int | None = None
    #: The source's products at work with these adapters, for variants that round better if they know it.
    activations: Activations | None = None


@dataclass
class _Body:
    """The state of emission that layers share."""

    graph: Graph
    config: DecoderConfig
    products: Products
    stack: AdapterStack
    step: Step
    activations: Activations | SmoothedActivations | None

    def linears(
        self, x: str, rows: Rows, layer: int, weights: LayerWeights, groups: Sequence[Sequence[str]]
    ) -> list[str]:
        """Products of x, one for each group of linear layers, with adapters and biases added."""
        linears = [self._linear(rows, layer, weights, names) for names in groups]
        return self.products.linears(self.graph, x, linears, rows)

    def _linear(self, rows: Rows, layer: int, weights: LayerWeights, names: Sequence[str]) -> Linear:
        parts = [(name, weights.projections[name]) for name in names]
        share = bias = None
        if rows.adapter_ids is not None:
            share = self.stack.share(rows.adapter_ids, layer, [(name, len(w)) for name, w in parts])
        if any(name in weights.biases for name in names):
            bias = np.concatenate([weights.biases.get(name, np.zeros(len(w), np.float32)) for name, w in parts])
        inputs = None if self.activations is None else self.activations.inputs(layer, names[0])
        return Linear("".join(names), np.concatenate([w for _, w in parts]), inputs, share, bias)

    def add_and_norm(self, residual: str, update: str, scale: np.ndarray, *, last: bool = False) -> tuple[str, str]:
        """`residual + update`, and its RMS norm, as (normed, sum)."""
        gamma = self.graph.weight("norm.w", scale)
        outputs = [self.graph.unique("normed"), "", "", self.graph.unique("sum")]
        self.graph.node(
            "SkipSimplifiedLayerNormalization",
            [residual, update, gamma],
            out=outputs[:1] if last else outputs,
            stem="norm",
            domain=MICROSOFT,
            epsilon=self.config.rms_epsilon,
        )
        return outputs[0], outputs[3]


def build_decoder(path: Path, source: DecoderSource, options: DecoderOptions) -> GraphFiles:
    """Writes the graph and its external data."""
    config = source.config
    graph = Graph(path, external=True)
    ids = graph.input("input_ids", "i64", ["rows", "new"])
    images = graph.input("image_embeddings", "f32", ["images", options.image_tokens or "image_tokens", config.hidden])
    past_lengths = graph.input("past_lengths", "i64", ["rows"])
    logits_indices = graph.input("logits_indices", "i64", ["reads"])
    adapter_ids = graph.input("adapter_ids", "i64", ["rows"]) if options.adapters else None
    cache = ["rows", config.key_value_heads, "capacity", config.head_dim]
    for layer in range(config.layers):
        graph.input(f"past_key.{layer}", "f32", cache)
        graph.input(f"past_value.{layer}", "f32", cache)
    step = prepare(graph, config, ids, past_lengths, "past_key.0")
    emitter, adapters = products(options.variant), options.adapters
    activations = options.activations if emitter.samples else None
    if options.activations is not None and emitter.smooths:
        source, adapters = smooth(source, adapters, options.activations)
        activations = SmoothedActivations(options.activations, source)
    body = _Body(graph, config, emitter, AdapterStack(adapters), step, activations)
    residual = _embed(graph, source, options.variant, ids, images)
    rows, read = _row_sets(graph, ids, logits_indices, adapter_ids)

    weights = source.layer(0)
    normed = _rms_norm(graph, residual, weights.input_norm, config.rms_epsilon)
    for layer in range(config.layers):
        final = layer + 1 == config.layers
        with graph.scope(f"l{layer}"):
            # Keys and values go the same way; a product of its own for the queries keeps their adapters' shares small.
            queries, keys_values = body.linears(normed, rows, layer, weights, (("q",), ("k", "v")))
            attended = attention(graph, config, step, layer, queries, keys_values)
            if final:
                # What is not read of the last layer's tokens is not calculated, but for their keys and values.
                attended = graph.node("Gather", [attended, logits_indices], stem="attended_read", axis=0)
                residual = graph.node("Gather", [residual, logits_indices], stem="residual_read", axis=0)
                rows = read
            [update] = body.linears(attended, rows, layer, weights, (("o",),))
            normed, residual = body.add_and_norm(residual, update, weights.post_norm)
            update = _mlp(body, normed, rows, layer, weights)
            if final:
                normed, residual = body.add_and_norm(residual, update, source.final_norm(), last=True)
            else:
                weights = source.layer(layer + 1)
                normed, residual = body.add_and_norm(residual, update, weights.input_norm)
    graph.node("Identity", [normed], out=graph.output("hidden", "f32", ["reads", config.hidden]))
    if isinstance(source, Smoothed):
        normed = graph.node("Mul", [normed, graph.weight("smoothing", 1 / source.head_divisors)], stem="smoothed")
    emit_head(graph, body.products, source, normed, read, options.output_ids)
    for layer in range(config.layers):
        graph.output(f"present_key.{layer}", "f32", cache)
        graph.output(f"present_value.{layer}", "f32", cache)
    return graph.save()


def _rms_norm(graph: Graph, x: str, scale: np.ndarray, epsilon: float) -> str:
    """RMS norm in plain operators (ONNX Runtime fuses them); later norms come fused with the residual sum before
    them.
    """
    with graph.scope("norm"):
        mean = graph.node("ReduceMean", [graph.node("Mul", [x, x]), graph.const([-1])], stem="mean", keepdims=1)
        root = graph.node("Sqrt", [graph.node("Add", [mean, graph.const(epsilon, "f32")])])
        return graph.node("Mul", [graph.node("Div", [x, root]), graph.weight("w", scale)], stem="normed")


def _mlp(body: _Body, normed: str, rows: Rows, layer: int, weights: LayerWeights) -> str:
    """down(silu(gate(x)) * up(x)), f32 `[rows, hidden]`."""
    graph = body.graph
    gate, up = body.linears(normed, rows, layer, weights, (("gate",), ("up",)))
    silu = graph.node("QuickGelu", [gate], stem="silu", domain=MICROSOFT, alpha=1.0)
    gated = graph.node("Mul", [silu, up], stem="gated")
    return body.linears(gated, rows, layer, weights, (("down",),))[0]


def _embed(graph: Graph, source: DecoderSource, variant: str, ids: str, images: str) -> str:
    """Embeddings f32 `[tokens, hidden]`: ids >= 0 from the table, id < 0 is image token `-(id + 1)`."""
    with graph.scope("embed"):
        flat = graph.reshape(ids, [-1], stem="flat", dims=["tokens"], dtype="i64")
        zero = graph.const(0)
        from_image = graph.node("Less", [flat, zero], stem="from_image")
        token = graph.node("Max", [flat, zero], stem="token")
        image = graph.node("Max", [graph.node("Sub", [graph.const(-1), flat], stem="number"), zero], stem="image")
        width = source.config.hidden
        rows = graph.reshape(images, [-1, width], stem="image_rows")
        pictures = graph.node("Gather", [rows, image], stem="pictures", axis=0)
        table = source.embedding()
        if variant == "fp32":
            values = table.dequantize() if isinstance(table, Int8Blocks) else table
            words = graph.node("Gather", [graph.weight("w", values), token], stem="words", axis=0)
        else:
            # 8-bit blocks: exact for a GGUF's Q8_0 table, a quarter of the bytes otherwise.
            blocks = table if isinstance(table, Int8Blocks) else int8_blocks(table)
            codes = graph.node("Gather", [graph.weight("w", blocks.values), token], stem="codes", axis=0)
            scales = graph.node("Gather", [graph.weight("s", blocks.scale[..., None]), token], stem="scales", axis=0)
            scaled = graph.node("Mul", [graph.node("Cast", [codes], stem="float", to=1), scales], stem="scaled")
            words = graph.reshape(scaled, [-1, width], stem="words", dims=["tokens", width])
        chosen = graph.node("Unsqueeze", [from_image, graph.const([1])], stem="chosen")
        return graph.node("Where", [chosen, pictures, words], stem="x")


def _row_sets(graph: Graph, ids: str, logits_indices: str, adapter_ids: str | None) -> tuple[Rows, Rows]:
    """All new tokens, and those that are read."""
    with graph.scope("rows"):
        shape = graph.node("Shape", [ids])
        tokens = graph.node("ReduceProd", [shape], stem="tokens", keepdims=1)
        reads = graph.node("Shape", [logits_indices], stem="reads")
        if adapter_ids is None:
            return Rows(tokens, None), Rows(reads, None)
        column = graph.node("Unsqueeze", [adapter_ids, graph.const([1])], stem="column")
        spread = graph.node("Expand", [column, shape], stem="spread")
        spread = graph.reshape(spread, [-1], stem="adapters", dims=["tokens"], dtype="i64")
        read = graph.node("Gather", [spread, logits_indices], stem="adapters_read", axis=0)
        return Rows(tokens, spread), Rows(reads, read)
