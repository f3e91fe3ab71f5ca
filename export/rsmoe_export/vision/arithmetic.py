"""What a convolutional tower is computed in: float32, or static int8."""

from __future__ import annotations

import numpy as np

from rsmoe_export.graph import Graph
from rsmoe_export.vision.int8 import Grid, Int8Kernel, Int8Tower


class FloatArithmetic:
    """float32 throughout."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def convolve(
        self, x: str, activation: str, kernel: np.ndarray, bias: np.ndarray, *, relu: bool, **attributes: object
    ) -> str:
        """A convolution by kernel `[out, in / groups, k, k]` and bias `[out]`, clipped to 0..6 with `relu`.

        `activation` is the result's name among the tower's activations, `attributes` are those of the node.
        """
        graph = self.graph
        y = graph.node("Conv", [x, graph.weight("w", kernel), graph.weight("b", bias)], stem="conv", **attributes)
        return graph.node("Clip", [y, graph.const(0, "f32"), graph.const(6, "f32")], stem="relu6") if relu else y

    def add(self, x: str, skip: str, activation: str) -> str:
        """The sum of a block's result and its input."""
        return self.graph.node("Add", [x, skip], stem="skip")


class Int8Arithmetic:
    """int8 weights and uint8 activations, as float operators between QuantizeLinear and DequantizeLinear.

    ONNX Runtime fuses these into QLinearConv and QLinearAdd where it has them, and computes the same in float where it
    has not. The ReLU6 is in the rounding: a code below 0 or above the range saturates.
    """

    def __init__(self, graph: Graph, tower: Int8Tower) -> None:
        self.graph, self.tower = graph, tower
        self._grids: dict[str, Grid] = {}

    def round(self, x: str, activation: str) -> str:
        """x on the activation's grid, again as floats."""
        graph, grid = self.graph, self.tower.grid(activation)
        step = [graph.const(grid.scale, "f32"), graph.const(grid.zero_point, "u8")]
        rounded = graph.node("DequantizeLinear", [graph.node("QuantizeLinear", [x, *step], stem="codes"), *step])
        self._grids[rounded] = grid
        return rounded

    def convolve(
        self, x: str, activation: str, kernel: np.ndarray, bias: np.ndarray, *, relu: bool, **attributes: object
    ) -> str:
        """As in float; x must have been rounded."""
        graph, weights = self.graph, Int8Kernel.rounded(kernel, bias, self._grids[x])
        parts = [
            graph.node("DequantizeLinear", [graph.weight(stem, values), graph.weight(f"{stem}_scale", scale)], axis=0)
            for stem, values, scale in (
                ("w", weights.values, weights.scale),
                ("b", weights.bias, weights.bias_scale),
            )
        ]
        return self.round(graph.node("Conv", [x, *parts], stem="conv", **attributes), activation)

    def add(self, x: str, skip: str, activation: str) -> str:
        """As in float; both must have been rounded."""
        return self.round(self.graph.node("Add", [x, skip], stem="skip"), activation)
