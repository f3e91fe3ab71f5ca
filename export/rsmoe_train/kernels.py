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
