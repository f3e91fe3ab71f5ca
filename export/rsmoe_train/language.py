"""A compact llama-type decoder for training: packed trees of segments, low-rank deltas, per-token adapters.

The base weights are frozen; what is trained are the low-rank pairs `a` [in, r], `b` [r, out] of
the seven linears of every layer, y = x W^T + ((x a) * rank_mask) b. In stage 1 there is one pair of rank 32 and
no mask. In stage 2 the pairs of all adapters stand side by side (r = adapters * 8) and `rank_mask` keeps the
columns of the token's own adapter: the arithmetic of the runtime's stacked adapters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from . import precision
from .base import LINEARS, Shape
from .kernels import Attend, GatedUnit, LowRankLinear, Normalise, SideBySide

# Linears that share their input are one product; the first of a group's norms is folded into its weights.
GROUPS = (("q", "k", "v"), ("o",), ("gate", "up"), ("down",))


def rope_tables(positions: Tensor, width: int, base: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """positions int64 [n, t] -> cos, sin [n, t, 1, width]."""
    inverse = base ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
    angles = positions[..., None].float() * inverse
    angles = torch.cat((angles, angles), -1)[:, :, None]
    return angles.cos().to(dtype), angles.sin().to(dtype)


@dataclass(frozen=True)
class Step:
    """What all layers share in one pass. n sequences, t tokens, g query heads per KV head."""

    bias: Tensor  # [n, 1, t, t] additive: 0, or a large negative number where a token must not look
    cos: Tensor  # [n, t, 1, head]
    sin: Tensor
    masks: dict[int, Tensor | None]  # k -> [n * t, k * r]: the rank mask, k times side by side


def layer_forward(
    x: Tensor, step: Step, weights: tuple[Tensor, ...], pairs: list[tuple[Tensor, Tensor]] | None, shape: Shape
) -> Tensor:
    """One decoder layer. x [n * t, hidden]; weights = qkv [out, in], o, gate_up, down, the norms folded in;
    pairs = (a, b) of these four, side by side and block-diagonal where linears share their input.
    """

    def linear(y: Tensor, i: int, residual: Tensor | None = None) -> Tensor:
        if pairs is None:
            out = y @ weights[i].T
            return out if residual is None else out + residual
        a, b = pairs[i]
        return LowRankLinear.apply(y, weights[i], a, b, step.masks[len(GROUPS[i])], residual)

    n, t = step.cos.shape[:2]
    normed, x = Normalise.apply(x, shape.epsilon)
    mixed = linear(normed, 0).view(n, t, -1, shape.head)
    x = linear(Attend.apply(mixed, step.cos, step.sin, step.bias, shape.heads), 1, x)
    normed, x = Normalise.apply(x, shape.epsilon)
    return linear(GatedUnit.apply(linear(normed, 2)), 3, x)


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

    def layer(self, i: int, norms: tuple[Tensor, Tensor], dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
        """(a, b) for each of GROUPS in the compute dtype: a's side by side [in, k r], b's block-diagonal [k r, out].
        `norms` fp32 [hidden] are the two RMSNorm weights, which the first and third group's inputs lack.
        """
        result = []
        for group, norm in zip(GROUPS, (norms[0], None, norms[1], None), strict=True):
            pairs = [self.values[f"layers_{i}_{n}_{part}"] for part in "ab" for n in group]
            result.append(SideBySide.apply(norm, dtype, *pairs))
        return result

    def named(self) -> dict[str, Tensor]:
        """`layers.{i}.{linear}.{a,b}` -> tensor, as in the weight files."""
        return {key.replace("_", "."): value.detach() for key, value in self.values.items()}


class Decoder(nn.Module):
    """Frozen base in `dtype` (by default training's; fp32 for reference values)."""

    def __init__(self, shape: Shape, tensors: dict[str, Tensor], dtype: torch.dtype | None = None) -> None:
        super().__init__()
        dtype = dtype or precision.products()
        self.shape, self.dtype = shape, dtype
        self.embedding = tensors["embedding"].to(dtype)
        self.norm = tensors["norm"].to(dtype)
        self.norms: list[tuple[Tensor, Tensor]] = []
        self.weights: list[tuple[Tensor, ...]] = []
        for i in range(shape.layers):
            norms = (tensors[f"layers.{i}.norm1"], tensors[f"layers.{i}.norm2"])
            row = []
            for group, norm in zip(GROUPS, (norms[0], None, norms[1], None), strict=True):
                weight = torch.cat([tensors[f"layers.{i}.{n}"] for n in group])
                row.append((weight if norm is None else weight * norm).to(dtype).contiguous())
            self.norms.append(norms)
            self.weights.append(tuple(row))

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
        n, t, hidden = x.shape
        shape = self.shape
        cos, sin = rope_tables(positions, shape.head, shape.rope_base, self.dtype)
        bias = torch.zeros(visible.shape, dtype=self.dtype).masked_fill(~visible, -1e4)
        flat = None if rank_mask is None else rank_mask.to(self.dtype).flatten(0, 1)
        masks = {k: None if flat is None else flat.repeat(1, k) for k in (1, 2, 3)}
        step = Step(bias[:, None], cos, sin, masks)
        x = x.flatten(0, 1)
        for i, weights in enumerate(self.weights):
            low = None if pairs is None else pairs.layer(i, self.norms[i], self.dtype)
            x = layer_forward(x, step, weights, low, shape)
        return (Normalise.apply(x, shape.epsilon)[0] * self.norm).view(n, t, hidden)


def merge(shape: Shape, tensors: dict[str, Tensor], delta: dict[str, Tensor]) -> dict[str, Tensor]:
    """The base with a delta folded in: W + (a b)^T."""
    merged = dict(tensors)
    for i in range(shape.layers):
        for name in LINEARS:
            key = f"layers.{i}.{name}"
            merged[key] = tensors[key] + (delta[f"{key}.a"].float() @ delta[f"{key}.b"].float()).T
    return merged
