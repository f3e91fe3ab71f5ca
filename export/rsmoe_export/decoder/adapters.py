"""Stacked low-rank adapters: every row of a batch may use another one, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from rsmoe_export.decoder.weights import Adapter, LowRank
from rsmoe_export.graph import MICROSOFT, Graph


@dataclass
class Masks:
    """Masks of a graph's tokens, made once for all products that need the same."""

    _made: dict[tuple[str, bytes], str] = field(default_factory=dict)

    def gather(self, graph: Graph, ids: str, table: np.ndarray) -> str:
        """f32 `[tokens, ranks]`: the row of table `[1 + adapters, ranks]` for each of the ids."""
        key = (ids, table.tobytes())
        if key not in self._made:
            self._made[key] = graph.node("Gather", [graph.const(table, "f32"), ids], stem="mask", axis=0)
        return self._made[key]


@dataclass(frozen=True)
class Share:
    """What adapters add to a product of x: `(x @ down * mask) @ up`."""

    #: f32 `[in, ranks]` and `[ranks, out]`.
    down: np.ndarray
    up: np.ndarray
    #: f32 `[1 + adapters, ranks]`: 1 on the columns of an adapter, 0 elsewhere.
    table: np.ndarray
    #: i64 `[tokens]`, the adapter of each token.
    ids: str
    masks: Masks

    def masked(self, graph: Graph, inner: str) -> str:
        """inner f32 `[tokens, ranks]`, the down-projection, with zeros for the adapters that a token does not use."""
        return graph.node("Mul", [inner, self.masks.gather(graph, self.ids, self.table)], stem="masked")

    def added(self, graph: Graph, inner: str, product: str) -> str:
        """`product + (inner * mask) @ up`."""
        # Not a plain MatMul: ONNX Runtime would fuse it with the sum to a Gemm, which is slower.
        operands = [self.masked(graph, inner), graph.weight("b.w", self.up)]
        share = graph.node("FusedMatMul", operands, stem="b", domain=MICROSOFT)
        return graph.node("Add", [product, share], stem="adapted")


@dataclass
class AdapterStack:
    """The shares of all adapters together.

    `down` holds the down-projections of all adapters (and of all linear layers that share the input) side by side, `up`
    the up-projections in blocks. The mask, gathered by each token's adapter id, is 1 on the columns of its adapter and
    0 elsewhere; id 0 is the bare base.
    """

    adapters: Sequence[Adapter]
    _masks: Masks = field(default_factory=Masks)

    def share(self, ids: str, layer: int, parts: Sequence[tuple[str, int]]) -> Share | None:
        """The adapters' share of a product, if they have one.

        ids i64 `[tokens]` is the adapter of each token; parts are the linear layers fused in the product, and their
        widths, in order.
        """
        columns: list[tuple[int, int, LowRank]] = []
        offset = 0
        for projection, width in parts:
            for number, adapter in enumerate(self.adapters, start=1):
                pair = adapter.pairs.get(layer, projection)
                if pair is not None:
                    if pair[1].shape[1] != width:
                        raise ValueError(
                            f"{adapter.name}.layers.{layer}.{projection}: b {pair[1].shape}, expected width {width}"
                        )
                    columns.append((number, offset, pair))
            offset += width
        if not columns:
            return None
        down = np.concatenate([a for _, _, (a, _) in columns], axis=1)
        up = np.zeros((down.shape[1], offset), np.float32)
        table = np.zeros((1 + len(self.adapters), down.shape[1]), np.float32)
        row = 0
        for number, start, (_, b) in columns:
            up[row : row + len(b), start : start + b.shape[1]] = b
            table[number, row : row + len(b)] = 1
            row += len(b)
        return Share(down, up, table, ids, self._masks)
