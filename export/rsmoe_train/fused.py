"""Elementwise bodies of the decoder layer, compiled into single memory passes where a C++ compiler is present.

In eager mode each operation of a body is a pass over memory in bf16, and these passes take two fifths of a training
step. Only the small bodies are compiled, each once for any number of tokens; what surrounds them stays eager. Compiled
kernels calculate in fp32 and round once, so they differ from the eager bodies by roundings of bf16.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Fused:
    """A body that runs compiled for bf16 inputs on machines that can compile, else as it is written."""

    available: bool | None = None  # whether compiling works here; None: not tried yet

    def __init__(self, body: Callable[..., Any], changing: tuple[int, ...]) -> None:
        """`changing`: dimensions of the tensors whose sizes differ from call to call."""
        self.body = body
        self._changing = changing
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        """The body's result."""
        if Fused.available is False or arguments[0].dtype is not torch.bfloat16:
            return self.body(*arguments)
        if self._compiled is None:
            return self._first(arguments)
        return self._compiled(*self._marked(arguments))

    def _marked(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        for value in arguments:
            if isinstance(value, Tensor):
                for dimension in self._changing:
                    if dimension < value.dim():
                        torch._dynamo.maybe_mark_dynamic(value, dimension)
        return arguments

    def _first(self, arguments: tuple[Any, ...]) -> Any:
        try:
            import torch._inductor.config as settings

            settings.compile_threads = 1  # no pool of compile workers beside each training process
            compiled = torch.compile(self.body, fullgraph=True)
            result = compiled(*self._marked(arguments))
        except Exception as error:  # no compiler, no headers, no place for its files: all mean "as it is written"
            Fused.available = False
            reason = str(error).strip().split("\n")[0][:160]
            print(f"elementwise kernels run uncompiled (slower): {type(error).__name__}: {reason}", flush=True)
            return self.body(*arguments)
        self._compiled = compiled
        return result


def fused(*changing: int) -> Callable[[Callable[..., Any]], Fused]:
    """Decorator of a body."""
    return lambda body: Fused(body, changing)


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


@fused(0)
def normalise(x: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """x [m, d] -> x / rms [m, d], 1 / rms [m, 1] (fp32 or wider)."""
    wide = _wide(x)
    inverse = torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)
    return (wide * inverse).to(x.dtype), inverse


@fused(0)
def normalise_back(grad: Tensor, y: Tensor, inverse: Tensor, other: Tensor) -> Tensor:
    """(g - y mean(g y)) / rms + other: the gradient of x, with the gradient that reached x on the other way."""
    g, wide = _wide(grad), _wide(y)
    return ((g - wide * (g * wide).mean(-1, keepdim=True)) * inverse + _wide(other)).to(grad.dtype)


@fused(0)
def gate(gate_up: Tensor) -> Tensor:
    """[m, 2 i] -> silu(gate) * up [m, i]."""
    gates, up = gate_up.chunk(2, -1)
    return torch.nn.functional.silu(gates) * up


@fused(0)
def gate_back(gate_up: Tensor, grad: Tensor) -> Tensor:
    """The gradient of `gate_up`."""
    gates, up = gate_up.chunk(2, -1)
    open_ = torch.sigmoid(gates)
    return torch.cat((grad * up * open_ * (1 + gates * (1 - open_)), grad * gates * open_), -1)


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate-half RoPE. x [.., d]; cos, sin broadcastable to it, with equal halves."""
    half = x.shape[-1] // 2
    first, second, c, s = x[..., :half], x[..., half:], cos[..., :half], sin[..., :half]
    return torch.cat((first * c - second * s, second * c + first * s), -1)


@fused(0, 1)
def split_heads(mixed: Tensor, cos: Tensor, sin: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """mixed [n, t, heads + 2 kv, d] -> q [n, kv, g, t, d], k and v [n, kv, t, d], q and k turned; all contiguous."""
    n, t, both, d = mixed.shape
    kv = (both - heads) // 2
    turned = turn(mixed[:, :, : heads + kv], cos, sin).transpose(1, 2)
    q = turned[:, :heads].reshape(n, kv, heads // kv, t, d).contiguous()
    return q, turned[:, heads:].contiguous(), mixed[:, :, heads + kv :].transpose(1, 2).contiguous()


@fused(0, 2)
def split_heads_back(q: Tensor, k: Tensor, v: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Gradients of q [n, heads, t, d], k and v [n, kv, t, d] -> the gradient of mixed [n, t, heads + 2 kv, d].
    cos, sin [n, 1, t, d].
    """
    turned = turn(torch.cat((q, k), 1), cos, -sin)
    return torch.cat((turned, v), 1).transpose(1, 2).contiguous()


@fused(0, 2, 3)
def soften(scores: Tensor, bias: Tensor, scale: float) -> Tensor:
    """softmax(scores * scale + bias). scores [n, heads, t, t], bias [n, 1, t, t]."""
    return torch.softmax(_wide(scores) * scale + _wide(bias), -1).to(scores.dtype)


@fused(0, 2, 3)
def soften_back(grad: Tensor, weights: Tensor, scale: float) -> Tensor:
    """(g - sum(g p)) p scale: the gradient of the scores."""
    g, p = _wide(grad), _wide(weights)
    return ((g - (g * p).sum(-1, keepdim=True)) * p * scale).to(grad.dtype)
