"""How probable it is that an image is of the kind that the model was trained on: distance to the nearest of a few
centres, in a projection of what the tower's maps are on average.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rsmoe_export.graph import Graph


@dataclass(frozen=True)
class Familiarity:
    """float32: mean `[channels]`, projection `[channels, d]`, centres `[k, d]`, scale `[2]` = (a, b).

    pooled = means over the cells of the features' channels, then of the channels that leave the tower's block number
    `block`; z = (pooled - mean) @ projection; distance = sqrt(min over the centres of sum((z - centre)^2) / d);
    familiarity = sigmoid(a - b * distance).

    The early block is there because late features forget what noise looks like, the more the longer they are tuned.
    """

    block: int
    mean: np.ndarray
    projection: np.ndarray
    centres: np.ndarray
    scale: np.ndarray

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], head: int, blocks: Sequence[int]) -> Familiarity:
        """Reads the five tensors; `block` is i64 `[1]`. A tower has `head` features, its blocks `blocks` channels.

        Raises:
            ValueError: one is missing, has another shape, there are others, or the tower has no such block.
        """
        names = ("block", "mean", "projection", "centres", "scale")
        if set(tensors) != set(names):
            raise ValueError(f"familiarity tensors: expected {', '.join(names)}, found {', '.join(sorted(tensors))}")
        found = {name: np.asarray(tensors[name]) for name in names}
        block = int(found["block"].item()) if found["block"].shape == (1,) else -1
        if not 0 <= block < len(blocks):
            raise ValueError(
                f"familiarity tensor 'block': expected one of 0 to {len(blocks) - 1}, found {found['block']}"
            )
        channels, width = head + blocks[block], found["projection"].shape[-1]
        shapes = {
            "mean": (channels,),
            "projection": (channels, width),
            "centres": (len(found["centres"]), width),
            "scale": (2,),
        }
        for name, shape in shapes.items():
            if found[name].shape != shape or not found[name].size:
                raise ValueError(f"familiarity tensor {name!r}: expected {shape}, found {found[name].shape}")
        return cls(block, **{name: found[name].astype(np.float32) for name in shapes})

    def emit(self, graph: Graph, features: str, early: str) -> str:
        """Adds output `familiarity` f32 `[batch]`, 0..1, of the maps f32 `[batch, channels, rows, cols]`."""
        channels, width = self.projection.shape
        with graph.scope("familiarity"):
            means = [graph.node("GlobalAveragePool", [x], stem="average") for x in (features, early)]
            pooled = graph.reshape(graph.node("Concat", means, stem="means", axis=1), [-1, channels], stem="pooled")
            centred = graph.node("Sub", [pooled, graph.weight("mean", self.mean)], stem="centred")
            z = graph.node("MatMul", [centred, graph.weight("projection", self.projection)], stem="z")
            column = graph.reshape(z, [-1, 1, width], stem="column")
            away = graph.node("Sub", [column, graph.weight("centres", self.centres)], stem="away")
            squares = graph.node("ReduceSumSquare", [away, graph.const([2])], stem="squares", keepdims=0)
            nearest = graph.node("ReduceMin", [squares, graph.const([1])], stem="nearest", keepdims=0)
            distance = graph.node("Sqrt", [graph.node("Div", [nearest, graph.const(width, "f32")])], stem="distance")
            offset, slope = (float(value) for value in self.scale)
            scaled = graph.node("Mul", [distance, graph.const(-slope, "f32")], stem="scaled")
            logit = graph.node("Add", [scaled, graph.const(offset, "f32")], stem="logit")
            return graph.node("Sigmoid", [logit], out=graph.output("familiarity", "f32", ["batch"]))
