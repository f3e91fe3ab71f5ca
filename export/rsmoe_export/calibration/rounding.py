"""int4 rounding that lets the weights not yet rounded make up for the error of those that are.

Source: Frantar et al., "GPTQ" (arXiv 2210.17323): the inputs are rounded in order; with H the activations' second
moments and U the upper Cholesky factor of H^-1, an error e in input j is made up for by `-e * U[j, j+1:] / U[j, j]`.
"""

from __future__ import annotations

import numpy as np

from rsmoe_export.quantize import BLOCK, Int4Blocks, int4_grid

#: Share of the mean second moment that is added to the diagonal: keeps H invertible and the compensation modest.
DAMPING = 0.01


def compensated_int4(weight: np.ndarray, moments: np.ndarray) -> Int4Blocks:
    """`int4_blocks` of float32 weight `[out, in]` for inputs with second moments `[in, in]`.

    A block's scale and zero point are chosen when its turn comes, from what the weights have become by then, and
    weighted by how much an error in each input costs. Computed in float64; each output is rounded on its own.
    """
    inputs = weight.shape[1]
    damped = moments + np.eye(inputs) * max(DAMPING * float(np.trace(moments)) / inputs, 1e-12)
    upper = np.linalg.cholesky(np.linalg.inv(damped)).T
    diagonal = np.diag(upper)
    rest = weight.astype(np.float64)
    codes = np.empty((len(weight), inputs // BLOCK, BLOCK), np.uint8)
    scales = np.empty(codes.shape[:2], np.float32)
    zeros = np.empty(codes.shape[:2], np.uint8)
    for number in range(inputs // BLOCK):
        span = slice(number * BLOCK, (number + 1) * BLOCK)
        # Inputs as rows: each is then contiguous.
        block = np.ascontiguousarray(rest[:, span].T)
        factor, own = upper[span, span], diagonal[span]
        scale, zero = int4_grid(block.T[:, None].astype(np.float32), 1 / np.square(own)[None])
        scale, zero = scale[:, 0], zero[:, 0]
        errors = np.empty_like(block)
        for place, row in enumerate(block):
            code = np.clip(np.rint(row / scale) + zero, 0, 15)
            codes[:, number, place] = code
            errors[place] = (row - (code - zero) * scale) / own[place]
            block[place + 1 :] -= factor[place, place + 1 :, None] * errors[place]
        rest[:, span.stop :] -= errors.T @ upper[span, span.stop :]
        scales[:, number], zeros[:, number] = scale, zero
    return Int4Blocks(codes, scales, zeros)
