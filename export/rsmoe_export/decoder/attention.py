"""Causal attention over a cache that is written in place.

New keys and values go into the cache through ScatterND. ONNX Runtime runs it in place when past and present are bound
to the same memory, as it does TensorScatter (opset 24), at the same speed; but TensorScatter has no CPU kernel before
ONNX Runtime 1.25.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rsmoe_export.decoder.config import DecoderConfig
from rsmoe_export.graph import MICROSOFT, Graph

#: Added to the score of a slot that a query may not see.
_HIDDEN_SCORE = -1e9


@dataclass(frozen=True)
class Step:
    """Tensors that all layers of one run share."""

    #: i64 `[rows, new]`, position (= cache slot) of each new token.
    positions: str
    #: i64 `[rows, key_value_heads, new, 3]`: row, head and slot that each new key and value is written to.
    targets: str
    #: f32 `[rows, 1, groups * new, capacity]`, 0 where slot <= position, else a large negative number.
    mask: str
    #: i64 `[4]`: rows, new, heads, head_dim.
    query_shape: str
    #: i64 `[4]`: rows, new, 2 * key_value_heads, head_dim.
    key_value_shape: str
    cosines: str
    sines: str


def prepare(graph: Graph, config: DecoderConfig, ids: str, past_lengths: str, past: str) -> Step:
    """Positions, mask and rotary tables. `ids` i64 `[rows, new]`; `past` is any past key, for the capacity."""
    with graph.scope("step"):
        shape = graph.node("Shape", [ids], stem="ids_shape")
        new = graph.node("Gather", [shape, graph.const(1)], stem="new")
        zero, one = graph.const(0), graph.const(1)
        steps = graph.node("Range", [zero, new, one], stem="steps")
        positions = graph.node(
            "Add", [graph.node("Unsqueeze", [past_lengths, graph.const([1])], stem="start"), steps], stem="positions"
        )
        capacity = graph.node(
            "Gather", [graph.node("Shape", [past], stem="past_shape"), graph.const(2)], stem="capacity"
        )
        slots = graph.node("Range", [zero, capacity, one], stem="slots")
        visible = graph.node(
            "LessOrEqual",
            [slots, graph.node("Unsqueeze", [positions, graph.const([2])], stem="rows_of")],
            stem="visible",
        )
        scores = graph.node("Where", [visible, graph.const(0, "f32"), graph.const(_HIDDEN_SCORE, "f32")], stem="scores")
        if config.groups > 1:
            # The query heads of a key-value head are folded into the rows: head by head, each with all new tokens.
            scores = graph.node("Concat", [scores] * config.groups, stem="folded", axis=1)
        mask = graph.node("Unsqueeze", [scores, graph.const([1])], stem="mask")
        query_shape, key_value_shape = (
            graph.node("Concat", [shape, graph.const([heads, config.head_dim])], stem="heads_shape", axis=0)
            for heads in (config.heads, 2 * config.key_value_heads)
        )
        cosines, sines = config.rotary_tables(config.max_positions)
        targets = _targets(graph, config, shape, positions)
        tables = graph.weight("cos", cosines), graph.weight("sin", sines)
        return Step(positions, targets, mask, query_shape, key_value_shape, *tables)


def _targets(graph: Graph, config: DecoderConfig, shape: str, positions: str) -> str:
    """Cache indices of the new tokens, i64 `[rows, key_value_heads, new, 3]`; shape i64 `[2]` is (rows, new)."""
    count, new = graph.split(shape, [1, 1], axis=0)
    full = graph.node("Concat", [count, graph.const([config.key_value_heads]), new, graph.const([1])], axis=0)
    rows = graph.node("Range", [graph.const(0), graph.node("Squeeze", [count]), graph.const(1)], stem="rows")
    axes = (
        graph.reshape(rows, [-1, 1, 1, 1]),
        graph.const(np.arange(config.key_value_heads).reshape(1, -1, 1, 1)),
        graph.node("Unsqueeze", [positions, graph.const([1, 3])]),
    )
    return graph.node("Concat", [graph.node("Expand", [axis, full]) for axis in axes], stem="targets", axis=-1)


def attention(graph: Graph, config: DecoderConfig, step: Step, layer: int, queries: str, keys_values: str) -> str:
    """Attention of one layer: f32 `[tokens, heads * head_dim]` queries and `[tokens, 2 * kv * head_dim]` keys, then
    values -> f32 `[tokens, heads * head_dim]`.
    """
    heads, kv = config.heads, config.key_value_heads
    size = config.head_dim
    query = _rotate(graph, step, _turn(graph, queries, step.query_shape, heads, size))
    key, value = graph.split(_turn(graph, keys_values, step.key_value_shape, 2 * kv, size), [kv, kv], axis=1)
    key = _rotate(graph, step, key)
    keys, values = (
        graph.node(
            "ScatterND",
            [f"past_{kind}.{layer}", step.targets, update],
            out=f"present_{kind}.{layer}",
            stem=f"write_{kind}",
        )
        for kind, update in (("key", key), ("value", value))
    )
    folded = query
    if config.groups > 1:
        folded = graph.reshape(query, [0, kv, -1, size], stem="query", dims=["rows", kv, "folded", size])
    scores = graph.node(
        "FusedMatMul",
        [folded, keys],
        stem="scores",
        domain=MICROSOFT,
        transB=1,
        alpha=float(1 / np.sqrt(config.head_dim)),
    )
    weights = graph.node("Softmax", [graph.node("Add", [scores, step.mask], stem="masked")], stem="softmax", axis=-1)
    mixed = graph.node("MatMul", [weights, values], stem="mixed")
    unfolded = mixed
    if config.groups > 1:
        unfolded = graph.reshape(mixed, [0, heads, -1, size], stem="unfolded", dims=["rows", heads, "new", size])
    back = graph.node("Transpose", [unfolded], stem="back", perm=[0, 2, 1, 3])
    width = config.query_width
    return graph.reshape(back, [-1, width], stem="attended", dims=["tokens", width])


def _turn(graph: Graph, x: str, shape: str, heads: int, size: int) -> str:
    """f32 `[tokens, heads * size]` -> f32 `[rows, heads, new, size]`; shape i64 `[4]` is (rows, new, heads, size)."""
    split = graph.reshape(x, shape, stem="heads", dims=["rows", "new", heads, size])
    return graph.node("Transpose", [split], stem="turned", perm=[0, 2, 1, 3])


def _rotate(graph: Graph, step: Step, x: str) -> str:
    return graph.node(
        "RotaryEmbedding", [x, step.positions, step.cosines, step.sines], stem="rotated", domain=MICROSOFT
    )
