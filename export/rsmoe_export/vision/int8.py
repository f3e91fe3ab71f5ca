"""Static int8 for convolutional towers: weights per output channel, activations uint8 on one grid per tensor.

The grids come from ranges that were recorded once (see `calibration.ranges`), so a picture's features depend neither
on its batch nor on anything that happens at run time. Source of the arithmetic: Jacob et al., "Quantization and
Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference" (arXiv 1712.05877), section 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rsmoe_export.quantize import int8_columns

#: Largest bias in steps: leaves an int32 accumulator room for the products.
MOST_BIAS_STEPS = 1 << 30

#: Lowest and highest value of an activation.
Range = tuple[float, float]


@dataclass(frozen=True)
class Grid:
    """The 256 values that an activation may have: `(code - zero_point) * scale`, code 0..=255."""

    scale: np.float32
    zero_point: int

    @classmethod
    def covering(cls, low: float, high: float) -> Grid:
        """The grid from `low` to `high`, widened to hold 0 exactly, which is what padding is."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = np.float32((high - low) / 255) if high > low else np.float32(1)
        return cls(scale, int(np.clip(np.rint(-low / scale), 0, 255)))


@dataclass(frozen=True)
class Int8Kernel:
    """Weights of a convolution: `values[out] * scale[out]`; bias in steps of `bias_scale[out]`, which is the input's
    scale times the weights'.
    """

    #: int8 `[out, in / groups, k, k]`.
    values: np.ndarray
    #: float32 `[out]`.
    scale: np.ndarray
    #: int32 `[out]`.
    bias: np.ndarray
    #: float32 `[out]`.
    bias_scale: np.ndarray

    @classmethod
    def rounded(cls, kernel: np.ndarray, bias: np.ndarray, source: Grid) -> Int8Kernel:
        """The nearest to kernel f32 `[out, in / groups, k, k]` and bias f32 `[out]`, for inputs on the grid `source`.

        An output that is nearly nothing but its bias gets a scale at which the bias can be counted.
        """
        least = np.abs(bias) / (source.scale * np.float32(MOST_BIAS_STEPS))
        columns = int8_columns(kernel.reshape(len(kernel), -1), least)
        bias_scale = source.scale * columns.scale
        steps = np.rint(bias.astype(np.float64) / bias_scale).astype(np.int32)
        return cls(columns.values.reshape(kernel.shape), columns.scale, steps, bias_scale)


@dataclass(frozen=True)
class Int8Tower:
    """How much of a tower is int8: everything after its first blocks, on the grids of `ranges`.

    The stem always stays float. So should the earliest blocks: they have few channels of very different ranges, which
    would share one scale (figures: export/README.md, "The vision tower in int8").
    """

    #: Blocks that stay float, counted from the first.
    float_blocks: int
    #: Range of each activation, by the names that `reference.vision.tower` tells its observer.
    ranges: Mapping[str, Range]

    def grid(self, activation: str) -> Grid:
        """The grid of an activation.

        Raises:
            ValueError: it has no range.
        """
        if activation not in self.ranges:
            raise ValueError(f"the vision ranges have none for {activation!r}: record them again")
        return Grid.covering(*self.ranges[activation])
