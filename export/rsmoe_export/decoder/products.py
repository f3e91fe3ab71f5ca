"""The linear layers of a variant: fp32, row-wise W8A8, or int4 blocks. Inputs and outputs are `[tokens, features]`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np

from rsmoe_export.calibration.activations import Inputs
from rsmoe_export.calibration.ranks import rank_grid
from rsmoe_export.calibration.rounding import compensated_int4
from rsmoe_export.decoder.adapters import Share
from rsmoe_export.graph import MICROSOFT, Graph
from rsmoe_export.quantize import BLOCK, Int8Blocks, dense, int4_blocks, int8_blocks, int8_columns

#: Names of the variants, and what they do to the linear layers.
VARIANTS = ("fp32", "w8a8", "int4")


@dataclass(frozen=True)
class Rows:
    """A set of token rows that products run over: all new tokens, or the last one of each batch row."""

    #: i64 `[1]`, how many.
    count: str
    #: i64 `[count]`, the adapter of each; None in a decoder without adapters.
    adapter_ids: str | None


@dataclass(frozen=True)
class Linear:
    """A linear layer `x @ weight.T`, or several side by side that are one product."""

    name: str
    #: float32 `[out, in]`.
    weight: np.ndarray
    #: What x looks like on a sample.
    inputs: Inputs | None = None
    #: What adapters add.
    share: Share | None = None
    #: float32 `[out]`.
    bias: np.ndarray | None = None

    def biased(self, graph: Graph, y: str) -> str:
        """y with the bias added, if there is one."""
        return y if self.bias is None else graph.node("Add", [y, graph.weight("bias", self.bias)], stem="biased")


class Products(Protocol):
    """Emits linear layers. One object serves one graph."""

    #: What the variant does if the activations are known: smooths its inputs; rounds by what they look like.
    smooths: ClassVar[bool] = False
    samples: ClassVar[bool] = False

    def linears(self, graph: Graph, x: str, linears: Sequence[Linear], rows: Rows) -> list[str]:
        """The linear layers that read x f32 `[tokens, in]`, each to f32 `[tokens, out]`."""

    def head(self, graph: Graph, x: str, weight: np.ndarray | Int8Blocks, rows: Rows) -> str:
        """Logits f32 `[rows, words]` of x f32 `[rows, hidden]`."""


@dataclass
class Fp32(Products):
    """Plain float products: the reference variant."""

    def linears(self, graph: Graph, x: str, linears: Sequence[Linear], rows: Rows) -> list[str]:
        """See `Products.linears`."""
        return _float_linears(graph, x, linears, lambda linear: self._product(graph, x, linear.weight, "y"))

    def head(self, graph: Graph, x: str, weight: np.ndarray | Int8Blocks, rows: Rows) -> str:
        """See `Products.head`."""
        return self._product(graph, x, dense(weight), "head")

    def _product(self, graph: Graph, x: str, weight: np.ndarray, stem: str) -> str:
        return graph.node("MatMul", [x, graph.weight(f"{stem}.w", weight.T)], stem=stem)


@dataclass
class RowWiseW8A8(Products):
    """int8 weights per output; activations quantized per row, so that a row's result never depends on its neighbours.

    The activations are uint8 with zero point 128: ONNX Runtime has fast kernels for uint8 x int8 and none for int8 x
    int8 on x86. A layer's input is quantized once for all products that read it (as one block per row, which takes
    the scales as a column). The row's scale is applied after the product, the weight's scale inside it. A row of
    zeros gives zeros: its scale is zero. Adapters' down-projections run over the same codes, and what they give is
    rounded and goes through the same product (`calibration/ranks.py`).
    """

    smooths: ClassVar[bool] = True
    samples: ClassVar[bool] = True
    _zeros: dict[str, str] = field(default_factory=dict)

    def _zero(self, graph: Graph, rows: Rows) -> str:
        """Zero points u8 `[rows, 1]`, made once per row set."""
        if rows.count not in self._zeros:
            shape = graph.node("Concat", [rows.count, graph.const([1])], stem="column_shape", axis=0)
            self._zeros[rows.count] = graph.node("Expand", [graph.const(128, "u8"), shape], stem="zero")
        return self._zeros[rows.count]

    def _quantize(self, graph: Graph, x: str, width: int, rows: Rows) -> tuple[str, str]:
        """uint8 codes `[rows, width]` and f32 scales `[rows, 1]` of x."""
        absolute = graph.node("Abs", [x], stem="abs")
        peak = graph.node("ReduceMax", [absolute, graph.const([-1])], stem="peak", keepdims=1)
        scale = graph.node("Mul", [peak, graph.const(1 / 127, "f32")], stem="scale")
        inputs = [x, scale, self._zero(graph, rows)]
        return graph.node("QuantizeLinear", inputs, stem="codes", axis=1, block_size=width), scale

    def linears(self, graph: Graph, x: str, linears: Sequence[Linear], rows: Rows) -> list[str]:
        """See `Products.linears`."""
        with graph.scope(linears[0].name):
            codes, scale = self._quantize(graph, x, linears[0].weight.shape[1], rows)
        outputs = []
        for linear in linears:
            with graph.scope(linear.name):
                product = self._linear(graph, codes, linear)
                outputs.append(linear.biased(graph, graph.node("Mul", [product, scale], stem="y")))
        return outputs

    def _linear(self, graph: Graph, codes: str, linear: Linear) -> str:
        """The linear layer without the rows' scales."""
        weight, share = linear.weight, linear.share
        if share is None:
            return self._unscaled(graph, codes, weight, "y")
        grid = rank_grid(weight, share.down, share.up, None if linear.inputs is None else linear.inputs.values)
        if grid is None:
            inner = self._unscaled(graph, codes, share.down.T, "a")
            return share.added(graph, inner, self._unscaled(graph, codes, weight, "y"))
        inner = share.masked(graph, self._unscaled(graph, codes, (share.down / grid.steps).T, "a"))
        # Saturates where the grid ends.
        rounded = graph.node("QuantizeLinear", [inner, graph.const(1, "f32"), graph.const(128, "u8")], stem="inner")
        inputs = graph.node("Concat", [codes, rounded], stem="inputs", axis=1)
        return self._unscaled(graph, inputs, grid.weight, "y")

    def _unscaled(self, graph: Graph, codes: str, weight: np.ndarray, stem: str) -> str:
        """`codes @ weight.T` without the rows' scales."""
        columns = int8_columns(weight)
        operands = [
            codes,
            graph.weight(f"{stem}.w", columns.values.T),
            graph.const(1, "f32"),
            graph.weight(f"{stem}.s", columns.scale),
            graph.const(128, "u8"),
        ]
        return graph.node("MatMulIntegerToFloat", operands, stem=f"{stem}.i", domain=MICROSOFT)

    def head(self, graph: Graph, x: str, weight: np.ndarray | Int8Blocks, rows: Rows) -> str:
        """See `Products.head`."""
        return self.linears(graph, x, [Linear("head", dense(weight))], rows)[0]


@dataclass
class Int4(Products):
    """4-bit weight blocks through MatMulNBits; activations go through int8 blocks inside the kernel (accuracy level
    4).
    """

    samples: ClassVar[bool] = True

    def linears(self, graph: Graph, x: str, linears: Sequence[Linear], rows: Rows) -> list[str]:
        """See `Products.linears`."""
        return _float_linears(graph, x, linears, lambda linear: self._product(graph, x, linear))

    def _product(self, graph: Graph, x: str, linear: Linear) -> str:
        weight, inputs = linear.weight, linear.inputs
        blocks = int4_blocks(weight) if inputs is None else compensated_int4(weight, inputs.moments)
        operands = [
            x,
            graph.weight("y.w", blocks.packed()),
            graph.weight("y.s", blocks.scale),
            graph.weight("y.z", blocks.packed_zero_points()),
        ]
        return _matmul_nbits(graph, operands, weight.shape, bits=4, stem="y")

    def head(self, graph: Graph, x: str, weight: np.ndarray | Int8Blocks, rows: Rows) -> str:
        """See `Products.head`; 8-bit blocks, because the head decides between close logits."""
        return int8_block_head(graph, x, weight)


def _float_linears(graph: Graph, x: str, linears: Sequence[Linear], product: Callable[[Linear], str]) -> list[str]:
    """Products that take x as it is; adapters add theirs in floats."""
    outputs = []
    for linear in linears:
        with graph.scope(linear.name):
            y, share = product(linear), linear.share
            if share is not None:
                inner = graph.node("MatMul", [x, graph.weight("a.w", share.down)], stem="a")
                y = share.added(graph, inner, y)
            outputs.append(linear.biased(graph, y))
    return outputs


def int8_block_head(graph: Graph, x: str, weight: np.ndarray | Int8Blocks) -> str:
    """Logits through 8-bit blocks (exact for a GGUF's Q8_0 table)."""
    blocks = weight if isinstance(weight, Int8Blocks) else int8_blocks(weight)
    codes = (blocks.values.astype(np.int16) + 128).astype(np.uint8)
    inputs = [x, graph.weight("head.w", codes), graph.weight("head.s", blocks.scale)]
    return _matmul_nbits(graph, inputs, (len(codes), codes.shape[1] * BLOCK), bits=8, stem="head")


def _matmul_nbits(graph: Graph, inputs: list[str], shape: tuple[int, ...], *, bits: int, stem: str) -> str:
    return graph.node(
        "MatMulNBits",
        inputs,
        stem=stem,
        domain=MICROSOFT,
        N=shape[0],
        K=shape[1],
        bits=bits,
        block_size=BLOCK,
        accuracy_level=4,
    )


def products(variant: str) -> Products:
    """The emitter of a variant."""
    return {"fp32": Fp32, "w8a8": RowWiseW8A8, "int4": Int4}[variant]()
