"""The grid on which adapters work inside int8 products.

Such a product takes its adapters' share as further inputs beside x: the inner values `x @ down`, masked and rounded to
steps of a fixed size, and `up` below the weight. The codes of a row of x count in units of its scale, and so do its
inner values: those of a row divided by its largest magnitude, times 127.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: How far the grid reaches, in the largest inner value of the sample. What lies further out is cut off.
HEADROOM = 1.5
#: By how much the mean squared rounding error of the weight may grow because `up` has to fit in beside it.
GROWTH = 1.1


@dataclass(frozen=True)
class RankGrid:
    """How inner values are rounded, and what multiplies x and them."""

    #: Step sizes, float32 `[ranks]`; 127 each way.
    steps: np.ndarray
    #: float32 `[out, in + ranks]`.
    weight: np.ndarray


def rank_grid(
    weight: np.ndarray, down: np.ndarray, up: np.ndarray, inputs: np.ndarray | None = None
) -> RankGrid | None:
    """The grid for weight `[out, in]`, down `[in, ranks]` and up `[ranks, out]`; None where adapters are so strong
    that the weight would suffer.

    Steps are as large as they may be before an output's scale would have to grow, so that they reach far and `up` uses
    the whole range of int8; larger, if the sample inputs `[tokens, in]` need it. Without a sample, x is taken to have
    independent channels and a largest one of three standard deviations, and the inner values to be three as well.
    """
    if inputs is None:
        peaks = np.linalg.norm(down, axis=0)
    else:
        largest = np.abs(inputs).max(axis=1, keepdims=True)
        rows = np.divide(inputs, largest, out=np.zeros_like(inputs), where=largest > 0)
        peaks = np.abs(rows @ down).max(axis=0)
    scales = np.abs(weight).max(axis=1)
    used = up != 0
    room = scales / np.where(used, np.abs(up), 1)
    free = np.where(used.any(axis=1), room.min(axis=1, where=used, initial=np.inf), 0)
    steps = np.maximum(free, HEADROOM * peaks)
    steps = np.where(steps > 0, steps, 1).astype(np.float32)
    wide = np.concatenate([weight, (up * steps[:, None]).T], axis=1)
    grown = np.square(np.abs(wide).max(axis=1)).sum() > GROWTH * np.square(scales).sum()
    return None if grown else RankGrid(steps, wide)
