"""A compact llama-type decoder for training: packed trees of segments, low-rank deltas, per-token adapters.

The base weights are frozen (bf16 buffers); what is trained are the low-rank pairs `a` [in, r], `b` [r, out] of
the seven linears of every layer, y = x W^T + ((x a) * rank_mask) b. In stage 1 there is one pair of rank 32 and
no mask. In stage 2 the pairs of all adapters stand side by side (r = adapters * 8) and `rank_mask` keeps the
columns of the token's own adapter: the arithmetic of the runtime's stacked adapters.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from .base import LINEARS, Shape


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Llama's RMSNorm, statistics in fp32. x [.., hidden]."""
    values = x.float()
    scale = torch.rsqrt(values.pow(2).mean(-1, keepdim=True) + epsilon)
    return (values * scale).to(x.dtype) * weight


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate-half RoPE. x [batch, heads, tokens, d]; cos, sin [batch, 1, tokens, d]."""
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-right, left), -1) * sin


def rope_tables(positions: Tensor, width: int, base: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """positions int64 [batch, tokens] -> cos, sin [batch, 1, tokens, width]."""
    inverse = base ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
    angles = positions[..., None].float() * inverse
    angles = torch.cat((angles, angles), -1)[:, None]
    return angles.cos().to(dtype), angles.sin().to(dtype)


def layer_forward(
    x: Tensor,
    bias: Tensor,
    cos: Tensor,
    sin: Tensor,
    weights: tuple[Tensor, ...],
    pairs: tuple[Tensor, ...] | None,
    rank_mask: Tensor | None,
    kv_heads: int,
    epsilon: float,
) -> Tensor:
    """One decoder layer. x [n, t, hidden]; bias [n, 1, t, t] additive (0 or a large negative number);
    weights = norm1, qkv [out, in], o, norm2, gate_up, down; pairs = (a, b) of each of LINEARS in order;
    rank_mask [n, t, r] or None. The query heads that share a KV head are folded into the rows."""
    norm1, qkv, o, norm2, gate_up, down = weights
    n, t, hidden = x.shape
    head = cos.shape[-1]
    group = hidden // head // kv_heads

    def low(value: Tensor, *numbers: int) -> list[Tensor]:
        """The low-rank products of the linears `numbers`, which share their input."""
        assert pairs is not None
        rank = pairs[1].shape[0]
        narrow = value @ torch.cat([pairs[2 * i] for i in numbers], 1)
        parts = narrow.split(rank, -1) if len(numbers) > 1 else (narrow,)
        masked = parts if rank_mask is None else [p * rank_mask for p in parts]
        return [p @ pairs[2 * i + 1] for i, p in zip(numbers, masked, strict=True)]

    y = rms_norm(x, norm1, epsilon)
    mixed = functional.linear(y, qkv)
    if pairs is not None:
        mixed = mixed + torch.cat(low(y, 0, 1, 2), -1)
    q, k, v = mixed.split([hidden, kv_heads * head, kv_heads * head], -1)
    q = rotate(q.view(n, t, -1, head).transpose(1, 2), cos, sin)
    k = rotate(k.view(n, t, kv_heads, head).transpose(1, 2), cos, sin)
    v = v.view(n, t, kv_heads, head).transpose(1, 2)
    folded = q.reshape(n, kv_heads, group * t, head)
    scores = (folded @ k.transpose(-1, -2)) * (1 / math.sqrt(head))
    scores = scores.view(n, kv_heads, group, t, t) + bias[:, :, None]
    shares = torch.softmax(scores, -1, dtype=torch.float32).to(x.dtype)
    out = (shares.view(n, kv_heads, group * t, t) @ v).view(n, kv_heads * group, t, head)
    out = out.transpose(1, 2).reshape(n, t, hidden)
    wide = functional.linear(out, o)
    if pairs is not None:
        wide = wide + low(out, 3)[0]
    x = x + wide

    y = rms_norm(x, norm2, epsilon)
    mixed = functional.linear(y, gate_up)
    if pairs is not None:
        mixed = mixed + torch.cat(low(y, 4, 5), -1)
    gate, up = mixed.chunk(2, -1)
    inner = functional.silu(gate) * up
    wide = functional.linear(inner, down)
    if pairs is not None:
        wide = wide + low(inner, 6)[0]
    return x + wide


class Pairs(nn.Module):
    """Low-rank pairs of all linears, fp32 masters: `a` normal with variance 1 / in, `b` zero."""

    def __init__(self, shape: Shape, rank: int) -> None:
        super().__init__()
        self.rank = rank
        self.values = nn.ParameterDict()
        for i in range(shape.layers):
            for name in LINEARS:
                width, out = shape.linear(name)
                self.values[f"layers_{i}_{name}_a"] = nn.Parameter(torch.randn(width, rank) / math.sqrt(width))
                self.values[f"layers_{i}_{name}_b"] = nn.Parameter(torch.zeros(rank, out))

    def layer(self, i: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """(a, b) of each of LINEARS in order, in the compute dtype."""
        return tuple(self.values[f"layers_{i}_{n}_{s}"].to(dtype) for n in LINEARS for s in "ab")

    def named(self) -> dict[str, Tensor]:
        """`layers.{i}.{linear}.{a,b}` -> tensor, as in the weight files."""
        return {key.replace("_", "."): value.detach() for key, value in self.values.items()}


class Decoder(nn.Module):
    """Frozen base in `dtype` (bf16 for training, fp32 for reference values)."""

    def __init__(self, shape: Shape, tensors: dict[str, Tensor], dtype: torch.dtype = torch.bfloat16) -> None:
        super().__init__()
        self.shape, self.dtype = shape, dtype
        self.embedding = tensors["embedding"].to(dtype)
        self.norm = tensors["norm"].to(dtype)
        self.weights = []
        for i in range(shape.layers):
            get = {k: tensors[f"layers.{i}.{k}"] for k in ("norm1", "norm2", *LINEARS)}
            qkv = torch.cat([get["q"], get["k"], get["v"]])
            gate_up = torch.cat([get["gate"], get["up"]])
            row = (get["norm1"], qkv, get["o"], get["norm2"], gate_up, get["down"])
            self.weights.append(tuple(w.to(dtype).contiguous() for w in row))
        self.layer = layer_forward

    def embed(self, ids: Tensor, image: Tensor | None, image_at: int) -> Tensor:
        """ids int64 [n, t] -> [n, t, hidden]; `image` [n, 16, hidden] replaces the rows from `image_at` on."""
        x = functional.embedding(ids, self.embedding)
        if image is None:
            return x
        return torch.cat((x[:, :image_at], image.to(x.dtype), x[:, image_at + image.shape[1] :]), 1)

    def forward(
        self, x: Tensor, positions: Tensor, visible: Tensor, pairs: Pairs | None, rank_mask: Tensor | None = None
    ) -> Tensor:
        """x [n, t, hidden], positions int64 [n, t], visible bool [n, t, t] -> normed hidden states [n, t, hidden]."""
        cos, sin = rope_tables(positions, self.shape.head, self.shape.rope_base, self.dtype)
        bias = torch.zeros(visible.shape, dtype=self.dtype).masked_fill(~visible, -1e4)[:, None]
        mask = None if rank_mask is None else rank_mask.to(self.dtype)
        for i, weights in enumerate(self.weights):
            low = None if pairs is None else pairs.layer(i, self.dtype)
            x = self.layer(x, bias, cos, sin, weights, low, mask, self.shape.kv_heads, self.shape.epsilon)
        return rms_norm(x, self.norm, self.shape.epsilon)


def merge(shape: Shape, tensors: dict[str, Tensor], delta: dict[str, Tensor]) -> dict[str, Tensor]:
    """The base with a delta folded in: W + (a b)^T."""
    merged = dict(tensors)
    for i in range(shape.layers):
        for name in LINEARS:
            key = f"layers.{i}.{name}"
            merged[key] = tensors[key] + (delta[f"{key}.a"].float() @ delta[f"{key}.b"].float()).T
    return merged
