"""From the last hidden states to logits, the greedy token and its log-probability; and the full head beside a
shortlist.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rsmoe_export.decoder.products import Products, Rows, int8_block_head
from rsmoe_export.decoder.weights import DecoderSource
from rsmoe_export.graph import Graph, GraphFiles
from rsmoe_export.quantize import Int8Blocks

#: Heads with more weights than this are stored in 8-bit blocks even if the checkpoint has them in float.
LARGE_HEAD = 1 << 22


def emit_head(
    graph: Graph, products: Products, source: DecoderSource, hidden: str, rows: Rows, output_ids: np.ndarray | None
) -> None:
    """Adds logits, next_ids and next_logprobs.

    hidden f32 `[reads, hidden]`; logits cover the ids of `output_ids` (int32, ascending) in that order, or the whole
    vocabulary.
    """
    table = source.head()
    if output_ids is not None:
        table = table.take(output_ids) if isinstance(table, Int8Blocks) else table[output_ids]
    words = source.config.vocabulary if output_ids is None else len(output_ids)
    logits = products.head(graph, hidden, table, rows)
    graph.node("Identity", [logits], out=graph.output("logits", "f32", ["reads", words]))
    best = graph.node("ArgMax", [logits], stem="best", axis=-1, keepdims=0)
    out = graph.output("next_ids", "i64", ["reads"])
    if output_ids is None:
        graph.node("Identity", [best], out=out)
    else:
        graph.node("Gather", [graph.weight("output_ids", output_ids.astype(np.int64)), best], out=out, axis=0)
    last = graph.const([-1])
    peak = graph.node("ReduceMax", [logits, last], stem="peak", keepdims=0)
    total = graph.node("ReduceLogSumExp", [logits, last], stem="total", keepdims=0)
    graph.node("Sub", [peak, total], out=graph.output("next_logprobs", "f32", ["reads"]))


def build_full_head(path: Path, source: DecoderSource) -> GraphFiles:
    """hidden f32 `[rows, hidden]` (after the final norm) -> logits f32 `[rows, vocabulary]`; 8-bit blocks if the
    source has them.
    """
    graph = Graph(path, external=True)
    hidden = graph.input("hidden", "f32", ["rows", source.config.hidden])
    table = source.head()
    if isinstance(table, Int8Blocks) or table.size > LARGE_HEAD:
        logits = int8_block_head(graph, hidden, table)
    else:
        logits = graph.node("MatMul", [hidden, graph.weight("head.w", table.T)], stem="head")
    graph.node("Identity", [logits], out=graph.output("logits", "f32", ["rows", source.config.vocabulary]))
    return graph.save()
