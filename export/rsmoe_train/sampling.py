"""Captions of many images at once, sampled or greedy: an image's prefix is read once, all its samples share its keys
and values, and each sample has a cache of its own that is written in place.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from . import fused
from .language import Decoder, Pairs, rope_tables


class Sampler:
    """Writes with the decoder's weights and the low-rank pairs of the last `refresh` added to them."""

    def __init__(self, decoder: Decoder, shortlist: Tensor, end: int) -> None:
        """`shortlist` int64 [words]: ids that may be written; `end`: the id that ends a text."""
        self._decoder, self._shortlist, self._end = decoder, shortlist, end
        self._head = decoder.embedding[shortlist]
        self._weights = [tuple(torch.empty_like(w) for w in row) for row in decoder.weights]

    @torch.no_grad()
    def refresh(self, pairs: Pairs) -> None:
        """Takes over the pairs as they are now."""
        decoder = self._decoder
        for i, (row, merged) in enumerate(zip(decoder.weights, self._weights, strict=True)):
            low = pairs.layer(i, decoder.norms[i], decoder.dtype)
            for weight, (a, b), out in zip(row, low, merged, strict=True):
                torch.addmm(weight, b.T, a.T, out=out)

    @torch.no_grad()
    def write(
        self, x: Tensor, count: int, longest: int, temperature: float, random: torch.Generator | None = None
    ) -> list[list[list[int]]]:
        """`count` texts for each prompt, of `longest` tokens at most. x [n, p, hidden]: embedded prompts, no padding.

        Greedy at temperature 0. A text that was ended has the end token as its last.
        """
        n = len(x)
        prompt, logits = self._read(x)
        own = _Own.empty(self._decoder, n * count, longest)
        logits = logits.repeat_interleave(count, 0)
        ids = torch.full((n * count, longest), self._end)
        open_ = torch.ones(n * count, dtype=torch.bool)
        for step in range(longest):
            if temperature > 0:
                gumbel = torch.empty_like(logits).exponential_(generator=random).log_()
                logits = logits / temperature - gumbel
            chosen = self._shortlist[logits.argmax(-1)]
            ids[open_, step] = chosen[open_]
            open_ &= chosen != self._end
            if not open_.any() or step + 1 == longest:
                break
            logits = self._step(functional.embedding(chosen, self._decoder.embedding), prompt, own, x.shape[1] + step)
        lengths = ((ids == self._end).cumsum(1) == 0).sum(1) + 1
        texts = [row[:length].tolist() for row, length in zip(ids, lengths.tolist(), strict=True)]
        return [texts[i * count : (i + 1) * count] for i in range(n)]

    def _finish(self, x: Tensor, attended: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        """The layer after attention. x, attended [m, hidden]."""
        epsilon = self._decoder.shape.epsilon
        x = torch.addmm(x, attended, weights[1].T)
        inner = fused.gate(fused.normalise(x, epsilon)[0] @ weights[2].T)
        return torch.addmm(x, inner, weights[3].T)

    def _logits(self, x: Tensor) -> Tensor:
        """x [m, hidden] -> f32 [m, words]."""
        normed = fused.normalise(x, self._decoder.shape.epsilon)[0] * self._decoder.norm
        return (normed @ self._head.T).float()

    def _read(self, x: Tensor) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
        """Keys and values of the prompts, each layer's [n * kv, p, d]; logits of their last tokens, f32 [n, words]."""
        shape, dtype = self._decoder.shape, self._decoder.dtype
        n, p, hidden = x.shape
        cos, sin = rope_tables(torch.arange(p).expand(n, -1), shape.head, shape.rope_base, dtype)
        hidden_part = ~torch.ones(n, 1, p, p, dtype=torch.bool).tril()
        bias = torch.zeros(n, 1, p, p, dtype=dtype).masked_fill(hidden_part, -1e4)
        x, cache = x.to(dtype).reshape(n * p, hidden), []
        for weights in self._weights:
            mixed = (fused.normalise(x, shape.epsilon)[0] @ weights[0].T).view(n, p, -1, shape.head)
            q, k, v = fused.split_heads(mixed, cos, sin, shape.heads)
            k, v = k.flatten(0, 1), v.flatten(0, 1)
            cache.append((k, v))
            scores = torch.bmm(q.view(len(k), -1, shape.head), k.transpose(1, 2)).view(n, shape.heads, p, p)
            chances = fused.soften(scores, bias, 1 / math.sqrt(shape.head)).view(len(k), -1, p)
            attended = torch.bmm(chances, v).view(n, shape.heads, p, shape.head).transpose(1, 2)
            x = self._finish(x, attended.reshape(n * p, hidden), weights)
        return cache, self._logits(x.view(n, p, hidden)[:, -1].contiguous())

    def _step(self, x: Tensor, prompt: list[tuple[Tensor, Tensor]], own: _Own, position: int) -> Tensor:
        """One token more of every text. x [m, hidden] -> logits f32 [m, words]."""
        shape, m = self._decoder.shape, len(x)
        kv, d, group = shape.kv_heads, shape.head, shape.heads // shape.kv_heads
        n, p = prompt[0][0].shape[0] // kv, prompt[0][0].shape[1]
        count, slot = m // n, position - p
        cos, sin = rope_tables(torch.tensor([[position]]), d, shape.rope_base, self._decoder.dtype)

        def by_image(rows: Tensor) -> Tensor:  # [m * kv, g, ..] -> [n * kv, count * g, ..]
            width = rows.shape[-1]
            return rows.view(n, count, kv, group, width).transpose(1, 2).reshape(n * kv, count * group, width)

        def by_text(rows: Tensor) -> Tensor:
            width = rows.shape[-1]
            return rows.view(n, kv, count, group, width).transpose(1, 2).reshape(m * kv, group, width)

        for weights, (keys, values), (own_keys, own_values) in zip(self._weights, prompt, own.layers, strict=True):
            parts = (fused.normalise(x, shape.epsilon)[0] @ weights[0].T).view(m, -1, d)
            turned = fused.turn(parts[:, : shape.heads + kv], cos[0], sin[0])
            own_keys[:, slot] = turned[:, shape.heads :].reshape(m * kv, d)
            own_values[:, slot] = parts[:, shape.heads + kv :].reshape(m * kv, d)
            q = turned[:, : shape.heads].reshape(m * kv, group, d) / math.sqrt(d)
            shared = by_text(torch.bmm(by_image(q), keys.transpose(1, 2)))
            alone = torch.bmm(q, own_keys[:, : slot + 1].transpose(1, 2))
            chances = torch.cat((shared, alone), -1).softmax(-1)
            told = by_text(torch.bmm(by_image(chances[..., :p].contiguous()), values))
            attended = torch.baddbmm(told, chances[..., p:], own_values[:, : slot + 1])
            x = self._finish(x, attended.view(m, shape.hidden), weights)
        return self._logits(x)


class _Own:
    """Keys and values of the written tokens: for each layer two tensors [m * kv, longest, d]."""

    def __init__(self, layers: list[tuple[Tensor, Tensor]]) -> None:
        self.layers = layers

    @classmethod
    def empty(cls, decoder: Decoder, m: int, longest: int) -> _Own:
        size = (m * decoder.shape.kv_heads, longest, decoder.shape.head)
        pairs = torch.zeros(len(decoder.weights), 2, *size, dtype=decoder.dtype)
        return cls([(keys, values) for keys, values in pairs])
