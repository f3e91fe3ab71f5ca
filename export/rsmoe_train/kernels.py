"""Autograd functions that keep the training step from being dominated by memory passes on CPUs.

Eager autograd spends more than half of a step outside the matrix products here. Each function below does the
arithmetic of its plain counterpart with fewer passes, and saves less. Inputs are contiguous unless said otherwise.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


class Normalise(Function):
    """x [.., d] -> x / sqrt(mean(x^2) + epsilon): RMSNorm without its weight (which is folded into what follows)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, epsilon: float) -> Tensor:
        """Statistics in fp32 or wider."""
        wide = torch.promote_types(x.dtype, torch.float32)
        mean = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=wide).square_().div_(x.shape[-1])
        inverse = mean.add_(epsilon).rsqrt_().to(x.dtype)
        y = x * inverse
        ctx.save_for_backward(y, inverse)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """(g - y mean(g y)) / rms."""
        y, inverse = ctx.saved_tensors
        along = (grad * y).mean(-1, keepdim=True)
        return torch.addcmul(grad, y, along, value=-1).mul_(inverse), None


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
        out = y @ weight.T
        out.addmm_(narrow, b)
        if residual is not None:
            out += residual
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


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    out = x * cos
    out[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-1)
    out[..., half:].addcmul_(x[..., :half], sin[..., half:])
    return out


class Rotate(Function):
    """Rotate-half RoPE. x [n, t, heads, d] (any strides); cos, sin [n, t, 1, d] with equal halves."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """x cos + rotate_half(x) sin."""
        ctx.save_for_backward(cos, sin)
        return _turn(x, cos, sin)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """The inverse turn."""
        cos, sin = ctx.saved_tensors
        return _turn(grad, cos, -sin), None, None


class GatedUnit(Function):
    """gate_up [m, 2 i] -> silu(gate) * up [m, i]."""

    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        """Only the input is saved."""
        ctx.save_for_backward(gate_up)
        gate, up = gate_up.chunk(2, -1)
        return torch.nn.functional.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """Both halves are written straight into one buffer."""
        (gate_up,) = ctx.saved_tensors
        gate, up = gate_up.chunk(2, -1)
        result = torch.empty_like(gate_up)
        to_gate, to_up = result.chunk(2, -1)
        torch.mul(grad, torch.nn.functional.silu(gate), out=to_up)
        to_gate.copy_(torch.ops.aten.silu_backward(grad * up, gate))
        return result
