"""Weight quantization. All weights come in as Hugging Face stores them: float32 `[out, in]`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Values per scale in int4 and in the 8-bit embedding, along the input dimension (llama.cpp's block size).
BLOCK = 32


@dataclass(frozen=True)
class Int8Columns:
    """Symmetric int8 with one scale per output: `weight[out, in] = values[out, in] * scale[out]`, values in
    -127..=127.
    """

    values: np.ndarray
    scale: np.ndarray

    def dequantize(self) -> np.ndarray:
        """float32 `[out, in]`."""
        return self.values.astype(np.float32) * self.scale[:, None]


@dataclass(frozen=True)
class Int4Blocks:
    """Asymmetric 4-bit blocks along the input: `weight = (codes - zero_point) * scale`.

    codes uint8 `[out, blocks, BLOCK]`, 0..=15; scale float32 `[out, blocks]`; zero_point uint8 0..=15 or float32,
    `[out, blocks]`.
    """

    codes: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray

    def dequantize(self) -> np.ndarray:
        """float32 `[out, in]`."""
        zero = self.zero_point.astype(np.float32)[..., None]
        return ((self.codes.astype(np.float32) - zero) * self.scale[..., None]).reshape(len(self.codes), -1)

    def packed(self) -> np.ndarray:
        """Codes as MatMulNBits stores them: uint8 `[out, blocks, BLOCK / 2]`, the earlier value in the low half."""
        return self.codes[..., 0::2] | (self.codes[..., 1::2] << 4)

    def packed_zero_points(self) -> np.ndarray:
        """Zero points as MatMulNBits takes them: float32 as they are; uint8 two to a byte, rows padded to whole
        bytes.
        """
        if self.zero_point.dtype == np.float32:
            return self.zero_point
        padded = np.pad(self.zero_point, ((0, 0), (0, self.zero_point.shape[1] % 2)))
        return padded[:, 0::2] | (padded[:, 1::2] << 4)


@dataclass(frozen=True)
class Int8Blocks:
    """Symmetric int8 blocks along the last axis (GGUF's Q8_0): values int8 `[rows, blocks, BLOCK]`, scale float32
    `[rows, blocks]`.
    """

    values: np.ndarray
    scale: np.ndarray

    def dequantize(self) -> np.ndarray:
        """float32 `[rows, blocks * BLOCK]`."""
        return (self.values.astype(np.float32) * self.scale[..., None]).reshape(len(self.values), -1)

    def take(self, rows: np.ndarray) -> Int8Blocks:
        """The given rows."""
        return Int8Blocks(self.values[rows], self.scale[rows])


def dense(table: np.ndarray | Int8Blocks) -> np.ndarray:
    """float32 `[rows, columns]` of a table in either form."""
    return table.dequantize() if isinstance(table, Int8Blocks) else table


def int8_columns(weight: np.ndarray, least: np.ndarray | float = 0.0) -> Int8Columns:
    """Rounds each output's weights to the nearest of 255 symmetric steps; an all-zero output gets scale 1. `least` is
    the smallest scale that an output may have.
    """
    peak = np.abs(weight).max(axis=1)
    scale = np.maximum(np.where(peak > 0, peak / np.float32(127), np.float32(1)), least).astype(np.float32)
    return Int8Columns(np.rint(weight / scale[:, None]).astype(np.int8), scale)


def int8_blocks(table: np.ndarray) -> Int8Blocks:
    """Rounds blocks of `BLOCK` values along the last axis to symmetric int8."""
    blocks = table.reshape(len(table), -1, BLOCK)
    peak = np.abs(blocks).max(axis=2)
    scale = np.where(peak > 0, peak / np.float32(127), np.float32(1)).astype(np.float32)
    return Int8Blocks(np.rint(blocks / scale[..., None]).astype(np.int8), scale)


#: Shares of a block's range that `int4_grid` tries: cutting the extremes a little often lowers the squared error.
_RANGES = (1.0, 0.96, 0.92, 0.88, 0.84)


def int4_grid(blocks: np.ndarray, importance: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Scale and zero point, float32 `[out, blocks]`, of float32 blocks `[out, blocks, BLOCK]`.

    The range with the least squared error per block, out of a few; errors count by `importance` `[blocks, BLOCK]`.
    """
    low = np.minimum(blocks.min(axis=2), 0)
    high = np.maximum(blocks.max(axis=2), 0)
    best: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    for share in _RANGES:
        scale = (high - low) * np.float32(share / 15)
        scale = np.where(scale > 0, scale, np.float32(1)).astype(np.float32)
        zero = np.clip(np.rint(-low * np.float32(share) / scale), 0, 15).astype(np.float32)
        rounded = (_int4_codes(blocks, scale, zero) - zero[..., None]) * scale[..., None]
        squares = np.square(rounded - blocks)
        error = (squares if importance is None else squares * importance).sum(axis=2)
        if best is None:
            best = (error, scale, zero)
        else:
            better = error < best[0]
            best = tuple(np.where(better, new, old) for new, old in zip((error, scale, zero), best, strict=True))
    return best[1], best[2]


def _int4_codes(blocks: np.ndarray, scale: np.ndarray, zero: np.ndarray) -> np.ndarray:
    """The nearest codes, as floats."""
    return np.clip(np.rint(blocks / scale[..., None]) + zero[..., None], 0, 15)


def int4_blocks(weight: np.ndarray) -> Int4Blocks:
    """Asymmetric int4 with uint8 zero points: every weight rounded to the nearest value of its block's grid."""
    blocks = weight.reshape(len(weight), -1, BLOCK)
    scale, zero = int4_grid(blocks)
    return Int4Blocks(_int4_codes(blocks, scale, zero).astype(np.uint8), scale, zero.astype(np.uint8))
