"""Autograd functions that keep the training step from being dominated by memory passes on CPUs.

Eager autograd spends more than half of a step outside the matrix products here. Each function below does the
arithmetic of its plain counterpart with fewer passes, and saves less; elementwise bodies are in `fused.py`. Inputs are
contiguous unless said otherwise.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from . import fused


class Normalise(Function):
    """x [m, d] -> (x / sqrt(mean(x^2) + epsilon), x): RMSNorm without its weight (which is folded into what follows),
    and x again for the residual, so that both gradients of x are summed in one pass.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
        """Statistics in fp32 or wider."""
        y, inverse = fused.normalise(x, epsilon)
        ctx.save_for_backward(y, inverse)
        return y, x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, residual: Tensor) -> tuple[Tensor, None]:
        """(g - y mean(g y)) / rms + the residual's gradient."""
        return fused.normalise_back(grad, *ctx.saved_tensors, residual), None


class LowRankLinear(Function):
    """y W^T + ((y a) * mask) b (+ residual). y [m, in], weight [out, in] frozen, a [in, r], b [r, out],
    mask [m, r] or None, residual [m, out] or None.
    """

    @staticmethod
    def forward(
        ctx: Any, y: Tensor, weight: Tensor, a: Tensor, b: Tensor, mask: Tensor | None, residual: Tensor | None
    ) -> Tensor:
        """The low-rank product is added in place."""
        narrow = y @ a
        if mask is not None:
            narrow *= mask
        out = y @ weight.T if residual is None else torch.addmm(residual, y, weight.T)
        out.addmm_(narrow, b)
        ctx.save_for_backward(y, weight, a, b, mask, narrow)
        ctx.has_residual = residual is not None
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients for y, a, b and the residual."""
        y, weight, a, b, mask, narrow = ctx.saved_tensors
        grad_narrow = grad @ b.T
        if mask is not None:
            grad_narrow *= mask
        grad_y = grad @ weight
        grad_y.addmm_(grad_narrow, a.T)
        return grad_y, None, y.T @ grad_narrow, narrow.T @ grad, None, grad if ctx.has_residual else None


class Attend(Function):
    """Grouped-query attention with rotate-half RoPE -> [n * t, heads * d]. mixed [n, t, heads + 2 kv, d]; cos, sin
    [n, t, 1, d] with equal halves; bias [n, 1, t, t] is added to the scores: 0, or very negative where a token must not
    look.
    """

    @staticmethod
    def forward(ctx: Any, mixed: Tensor, cos: Tensor, sin: Tensor, bias: Tensor, heads: int) -> Tensor:
        """A KV head's query heads become rows of its products."""
        n, t, _, d = mixed.shape
        q, k, v = fused.split_heads(mixed, cos, sin, heads)
        q, k, v = q.view(n * k.shape[1], -1, d), k.flatten(0, 1), v.flatten(0, 1)
        scores = torch.bmm(q, k.transpose(1, 2)).view(n, heads, t, t)
        weights = fused.soften(scores, bias, 1 / math.sqrt(d)).view(len(k), -1, t)
        ctx.save_for_backward(q, k, v, weights, cos, sin)
        ctx.heads = heads
        return torch.bmm(weights, v).view(n, heads, t, d).transpose(1, 2).reshape(n * t, heads * d)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of `mixed`."""
        q, k, v, weights, cos, sin = ctx.saved_tensors
        n, t, _, d = cos.shape
        rows = grad.view(n, t, ctx.heads, d).transpose(1, 2).reshape(q.shape)
        scores = torch.bmm(rows, v.transpose(1, 2)).view(n, ctx.heads, t, t)
        scores = fused.soften_back(scores, weights.view(n, ctx.heads, t, t), 1 / math.sqrt(d)).view(len(k), -1, t)
        parts = (torch.bmm(scores, k), torch.bmm(scores.transpose(1, 2), q), torch.bmm(weights.transpose(1, 2), rows))
        each = (part.view(n, -1, t, d) for part in parts)
        return fused.split_heads_back(*each, cos.transpose(1, 2), sin.transpose(1, 2)), None, None, None, None


class GatedUnit(Function):
    """gate_up [m, 2 i] -> silu(gate) * up [m, i]."""

    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        """Only the input is saved."""
        ctx.save_for_backward(gate_up)
        return fused.gate(gate_up)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """Both halves in one pass."""
        return fused.gate_back(*ctx.saved_tensors, grad)


class SideBySide(Function):
    """Low-rank pairs of linears that share their input, as one pair in `dtype`: a's side by side [in, k r], times the
    norm's weight [in] (or None), and b's block-diagonal [k r, out]. Called with a_1, .., a_k, b_1, .., b_k in fp32.
    """

    @staticmethod
    def forward(ctx: Any, norm: Tensor | None, dtype: torch.dtype, *pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Casts while it copies."""
        k = len(pairs) // 2
        a = torch.empty(pairs[0].shape[0], sum(p.shape[1] for p in pairs[:k]), dtype=dtype)
        b = torch.zeros(a.shape[1], sum(p.shape[1] for p in pairs[k:]), dtype=dtype)
        row = column = 0
        ctx.places = []
        for one, two in zip(pairs[:k], pairs[k:], strict=True):
            rows, columns = slice(row, row + two.shape[0]), slice(column, column + two.shape[1])
            a[:, rows] = one if norm is None else one * norm[:, None]
            b[rows, columns] = two
            ctx.places.append((rows, columns))
            row, column = rows.stop, columns.stop
        ctx.norm, ctx.wide = norm, pairs[0].dtype
        return a, b

    @staticmethod
    def backward(ctx: Any, grad_a: Tensor, grad_b: Tensor) -> tuple[Tensor | None, ...]:
        """Each pair's own part."""
        norm = 1 if ctx.norm is None else ctx.norm[:, None]
        first = [(grad_a[:, rows].to(ctx.wide) * norm) for rows, _ in ctx.places]
        return None, None, *first, *[grad_b[place].to(ctx.wide) for place in ctx.places]


class Depthwise(Function):
    """Depthwise convolution. x [n, c, h, w] channels last, kernel [c, 1, k, k], bias [c].

    oneDNN's weight gradient for 5 x 5 kernels in bf16 takes 40 times the forward pass, and the bias gradient alone runs
    the same code: here the bias is a plain sum, and the kernel's gradient is computed only where it is asked for.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor, stride: int, padding: int) -> Tensor:
        """Zero padding on both sides."""
        ctx.save_for_backward(x, kernel)
        ctx.geometry = [stride, stride], [padding, padding]
        return torch.conv2d(x, kernel, bias, stride, padding, 1, len(kernel))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients for x, kernel and bias."""
        x, kernel = ctx.saved_tensors
        (stride, _), (padding, _) = ctx.geometry
        size, channels = kernel.shape[-1], len(kernel)
        needs_x, needs_kernel, needs_bias = ctx.needs_input_grad[:3]
        grad_x = None
        if needs_x and stride == 1:
            turned = kernel.flip(2, 3)
            grad_x = torch.conv2d(grad, turned, None, 1, size - 1 - padding, 1, channels)
        mask = [needs_x and stride != 1, needs_kernel, False]
        grad_kernel = None
        if any(mask):
            other, grad_kernel, _ = torch.ops.aten.convolution_backward(
                grad, x, kernel, [channels], *ctx.geometry, [1, 1], False, [0, 0], channels, mask
            )
            grad_x = other if mask[0] else grad_x
        grad_bias = grad.sum((0, 2, 3)) if needs_bias else None
        return grad_x, grad_kernel, grad_bias, None, None
