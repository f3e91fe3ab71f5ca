"""The linear layers of a variant: fp32, row-wise W8A8, or int4 blocks. Inputs and outputs are `[tokens, features]`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np

from rsmoe_export.calibration.activations import Inputs
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


class Products(Protocol):
    """Emits linear layers. One object serves one graph."""

    #: What the variant does if it knows the activations: smooths its inputs; compensates the weights' rounding errors.
    smooths: ClassVar[bool] = False
    compensates: ClassVar[bool] = False

    def linear(
        self,
        graph: Graph,
        x: str,
        weight: np.ndarray,
        stem: str,
        rows: Rows,
        inputs: Inputs | None = None,
        share: Share | None = None,
    ) -> str:
        """`x @ weight.T` for float32 weight `[out, in]`; x f32 `[tokens, in]` -> f32 `[tokens, out]`.

        `inputs` says what x looks like on a sample; `share` is added to the product.
        """

    def head(self, graph: Graph, x: str, weight: np.ndarray | Int8Blocks, rows: Rows) -> str:
        """Logits f32 `[rows, words]` of x f32 `[rows, hidden]`."""


@dataclass
class Fp32(Products):
    """Plain float products: the reference variant."""

    def linear(
        self,
        graph: Graph,
        x: str,
        weight: np.ndarray,
        stem: str,
        rows: Rows,
        inputs: Inputs | None = None,
        share: Share | None = None,
    ) -> str:
        """See `Products.linear`."""
        y = graph.node("MatMul", [x, graph.weight(f"{stem}.w", weight.T)], stem=stem)
        return y if share is None else _adapted(graph, x, y, share)

    def head(self, graph: Graph, x: str, weight: np.ndarray | Int8Blocks, rows: Rows) -> str:
        """See `Products.head`."""
        return self.linear(graph, x, dense(weight), "head", rows)


@dataclass
class RowWiseW8A8(Products):
    """int8 weights per output; activations quantized per row, so that a row's result never depends on its neighbours.

    The activations are uint8 with zero point 128: ONNX Runtime has fast kernels for uint8 x int8 and none for int8 x
    int8 on x86. A layer's input is quantized once for all products that read it (as one block per row, which takes
    the scales as a column). The row's scale is applied after the product, the weight's scale inside it. A row of
    zeros gives zeros: its scale is zero. The adapters' down-projections run over the same codes.
    """

    smooths: ClassVar[bool] = True
    _quantized: dict[str, tuple[str, str]] = field(default_factory=dict)
    _zeros: dict[str, str] = field(default_factory=dict)

    def _zero(self, graph: Graph, rows: Rows) -> str:
        """Zero points u8 `[rows, 1]`, made once per row set."""
        if rows.count not in self._zeros:
            shape = graph.node("Concat", [rows.count, graph.const([1])], stem="column_shape", axis=0)
            self._zeros[rows.count] = graph.node("Expand", [graph.const(128, "u8"), shape], stem="zero")
        return self._zeros[rows.count]

    def _quantize(self, graph: Graph, x: str, width: int, rows: Rows) -> tuple[str, str]:
        """uint8 codes `[rows, width]` and f32 scales `[rows, 1]` of x."""
        if x not in self._quantized:
            absolute = graph.node("Abs", [x], stem="abs")
            peak = graph.node("ReduceMax", [absolute, graph.const([-1])], stem="peak", keepdims=1)
            scale = graph.node("Mul", [peak, graph.const(1 / 127, "f32")], stem="scale")
            inputs = [x, scale, self._zero(graph, rows)]
            codes = graph.node("QuantizeLinear", inputs, stem="codes", axis=1, block_size=width)
            self._quantized[x] = (codes, scale)
        return self._quantized[x]

    def linear(
        self,
        graph: Graph,
        x: str,
        weight: np.ndarray,
        stem: str,
        rows: Rows,
        inputs: Inputs | None = None,
        share: Share | None = None,
    ) -> str:
        """See `Products.linear`."""
        codes, scale = self._quantize(graph, x, weight.shape[1], rows)
        product = self._unscaled(graph, codes, weight, stem)
        if share is not None:
            product = share.add(graph, self._unscaled(graph, codes, share.down.T, "a"), product)
        return graph.node("Mul", [product, scale], stem=stem)

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
        return self.linear(graph, x, dense(weight), "head", rows)


@dataclass
class Int4(Products):
    """4-bit weight blocks through MatMulNBits; activations go through int8 blocks inside the kernel (accuracy level
    4).
    """

    compensates: ClassVar[bool] = True

    def linear(
        self,
        graph: Graph,
        x: str,
        weight: np.ndarray,
        stem: str,
        rows: Rows,
        inputs: Inputs | None = None,
        share: Share | None = None,
    ) -> str:
        """See `Products.linear`."""
        blocks = int4_blocks(weight) if inputs is None else compensated_int4(weight, inputs.moments)
        operands = [
            x,
            graph.weight(f"{stem}.w", blocks.packed()),
            graph.weight(f"{stem}.s", blocks.scale),
            graph.weight(f"{stem}.z", blocks.packed_zero_points()),
        ]
        y = _matmul_nbits(graph, operands, weight.shape, bits=4, stem=stem)
        return y if share is None else _adapted(graph, x, y, share)

    def head(self, graph: Graph, x: str, weight: np.ndarray | Int8Blocks, rows: Rows) -> str:
        """See `Products.head`; 8-bit blocks, because the head decides between close logits."""
        return int8_block_head(graph, x, weight)


def _adapted(graph: Graph, x: str, y: str, share: Share) -> str:
    """y with the share added, whose down-projection is a product of floats."""
    inner = graph.node("MatMul", [x, graph.weight("a.w", share.down)], stem="a")
    return share.add(graph, inner, y)


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
