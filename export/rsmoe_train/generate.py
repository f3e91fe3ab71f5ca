"""Greedy generation with a growing cache, branch by branch from a shared prefix, as the runtime decodes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from . import save, targets
from .fused import turn
from .language import GROUPS, Decoder, rope_tables
from .packing import Segments

LONGEST = 48  # generated tokens at most


@dataclass
class Cache:
    """Keys and values so far. n rows, s slots; rows may hold padding slots, which `valid` hides."""

    keys: list[Tensor] = field(default_factory=list)  # per layer [n, kv_heads, s, head]
    values: list[Tensor] = field(default_factory=list)
    valid: Tensor | None = None  # bool [n, s]
    lengths: Tensor | None = None  # int64 [n]: the next position of each row

    def fork(self) -> Cache:
        """An independent continuation; tensors are never written in place, so they are shared."""
        return Cache(list(self.keys), list(self.values), self.valid, self.lengths)

    def keep(self, rows: Tensor) -> None:
        """Drops all rows but these. rows int64 [m]."""
        self.keys = [k[rows] for k in self.keys]
        self.values = [v[rows] for v in self.values]
        if self.valid is not None and self.lengths is not None:
            self.valid, self.lengths = self.valid[rows], self.lengths[rows]


class Speaker:
    """Runs a trained package in torch. `dtype` bf16 for figures, fp32 for reference values."""

    def __init__(self, trained: save.Trained, segments: Segments, dtype: torch.dtype = torch.float32) -> None:
        self.trained, self.segments, self.dtype = trained, segments, dtype
        self.decoder = Decoder(trained.shape, trained.tensors, dtype)
        self.head = self.decoder.embedding[trained.shortlist]
        shape, rank = trained.shape, save.ADAPTER_RANK
        # one adapter: (a [in, k r], b [k r, out]) per layer and group
        self._pairs: list[list[list[tuple[Tensor, Tensor]]]] = []
        for k in range(len(save.ADAPTERS)):
            mask = torch.zeros(rank * len(save.ADAPTERS))
            mask[k * rank : (k + 1) * rank] = 1
            layers = []
            for i in range(shape.layers):
                pairs = trained.adapters.layer(i, self.decoder.norms[i], torch.float32)
                kept = [mask.repeat(len(group)).bool() for group in GROUPS]
                layers.append([(a[:, m].to(dtype), b[m].to(dtype)) for (a, b), m in zip(pairs, kept, strict=True)])
            self._pairs.append(layers)

    def image_embeddings(self, values: Tensor) -> Tensor:
        """Normalised pixels [n, 3, 256, 256] -> [n, 18, hidden]."""
        return self.trained.connector(self.trained.tower(values))

    @torch.no_grad()
    def extend(self, cache: Cache, x: Tensor, real: Tensor, adapter: int | None) -> Tensor:
        """Appends x [n, t, hidden] (`real` bool [n, t]: no padding); logits [n, shortlist] of the last real tokens."""
        shape, decoder = self.trained.shape, self.decoder
        n, t, hidden = x.shape
        kv, head = shape.kv_heads, shape.head
        start = cache.lengths if cache.lengths is not None else torch.zeros(n, dtype=torch.int64)
        positions = start[:, None] + real.cumsum(1) - 1
        past = cache.valid if cache.valid is not None else torch.zeros(n, 0, dtype=torch.bool)
        visible = torch.cat(
            (past[:, None].expand(n, t, -1), real[:, None] & torch.ones(t, t, dtype=torch.bool).tril()), -1
        )
        bias = torch.zeros(visible.shape, dtype=self.dtype).masked_fill(~visible, -1e4)[:, None]
        cos, sin = rope_tables(positions.clamp(min=0), head, shape.rope_base, self.dtype)
        fresh = not cache.keys

        def normalise(y: Tensor) -> Tensor:
            return (y.float() * torch.rsqrt(y.float().square().mean(-1, keepdim=True) + shape.epsilon)).to(self.dtype)

        for i, weights in enumerate(decoder.weights):

            def linear(y: Tensor, group: int, i: int = i, weights: tuple[Tensor, ...] = weights) -> Tensor:
                out = y @ weights[group].T
                if adapter is None:
                    return out
                a, b = self._pairs[adapter][i][group]
                return out + (y @ a) @ b

            parts = linear(normalise(x), 0).view(n, t, -1, head)
            turned = turn(parts[:, :, : shape.heads + kv], cos, sin)
            k, v = turned[:, :, shape.heads :].transpose(1, 2), parts[:, :, shape.heads + kv :].transpose(1, 2)
            if not fresh:
                k, v = torch.cat((cache.keys[i], k), 2), torch.cat((cache.values[i], v), 2)
                cache.keys[i], cache.values[i] = k, v
            else:
                cache.keys.append(k)
                cache.values.append(v)
            q = turned[:, :, : shape.heads].transpose(1, 2).reshape(n, kv, -1, head)
            scores = (q @ k.transpose(-1, -2) / math.sqrt(head)).view(n, shape.heads, t, -1) + bias
            mixed = (torch.softmax(scores, -1).view(n, kv, -1, scores.shape[-1]) @ v).view(n, shape.heads, t, head)
            x = x + linear(mixed.transpose(1, 2).reshape(n, t, hidden), 1)
            gate, up = linear(normalise(x), 2).chunk(2, -1)
            x = x + linear(functional.silu(gate) * up, 3)
        cache.valid = torch.cat((past, real), 1)
        cache.lengths = start + real.sum(1)
        last = (real.cumsum(1) * real).argmax(1)
        final = normalise(x[torch.arange(n), last]) * decoder.norm
        return (final @ self.head.T).float()

    def prefix(self, image: Tensor) -> Cache:
        """Image embeddings [n, 16, hidden] -> the cache after user header and image."""
        cache = Cache()
        ids = torch.tensor(self.segments.prefix()).expand(len(image), -1)
        self.extend(
            cache, self.decoder.embed(ids, image, self.segments.image_at), torch.ones_like(ids, dtype=torch.bool), None
        )
        return cache

    def append(self, cache: Cache, rows: list[list[int]], adapter: int | None) -> Tensor:
        """Appends one token list per row (right-padded); returns the last tokens' logits [n, shortlist]."""
        longest = max(map(len, rows))
        ids = torch.tensor([[*row, *[self.segments.pad] * (longest - len(row))] for row in rows])
        real = torch.arange(longest) < torch.tensor([len(row) for row in rows])[:, None]
        return self.extend(cache, self.decoder.embed(ids, None, 0), real, adapter)

    def finish(self, cache: Cache, logits: Tensor, adapter: int | None, longest: int = LONGEST) -> list[list[int]]:
        """Greedy token ids of each row, without the end token."""
        texts: list[list[int]] = [[] for _ in range(len(logits))]
        rows = torch.arange(len(logits))  # the text that each row of the cache writes
        for _ in range(longest):
            chosen = self.trained.shortlist[logits.argmax(-1)]
            going = chosen != self.segments.end
            if not going.any():
                break
            if not going.all():  # finished rows leave the batch
                kept = torch.nonzero(going).flatten()
                cache.keep(kept)
                rows, chosen = rows[kept], chosen[kept]
            for row, token in zip(rows.tolist(), chosen.tolist(), strict=True):
                texts[row].append(token)
            x = self.decoder.embed(chosen[:, None], None, 0)
            logits = self.extend(cache, x, torch.ones(len(rows), 1, dtype=torch.bool), adapter)
        return texts

    def instruct(self, prefix: Cache, instructions: list[str]) -> Cache:
        """The bare base reads each row's instruction."""
        cache = prefix.fork()
        self.append(cache, [self.segments.turn_end(text) for text in instructions], None)
        return cache

    def answer(self, instructed: Cache, longest: int = LONGEST) -> list[list[int]]:
        """The bare base's answer: the brief caption, or the answer to a question."""
        cache = instructed.fork()
        rows = [self.segments.header("assistant")] * len(cache.lengths)
        return self.finish(cache, self.append(cache, rows, None), None, longest)

    def route(self, instructed: Cache) -> list[list[int]]:
        """The router's text."""
        cache, adapter = instructed.fork(), save.ADAPTERS.index("router")
        rows = [self.segments.header("router")] * len(cache.lengths)
        return self.finish(cache, self.append(cache, rows, adapter), adapter)

    def expert(self, instructed: Cache, name: str, prompts: list[str]) -> list[list[int]]:
        """One expert's text, each row with its own prompt."""
        cache, adapter = instructed.fork(), save.ADAPTERS.index(name)
        header, reply = self.segments.header("user"), self.segments.header("assistant")
        rows = [[*header, *self.segments.turn_end(prompt), *reply] for prompt in prompts]
        return self.finish(cache, self.append(cache, rows, adapter), adapter)

    def text(self, ids: list[int]) -> str:
        """Detokenized and stripped."""
        return self.segments.detokenize(ids).strip()


def prompts_of(router_text: str) -> dict[str, str]:
    """The router's lines by expert; the fixed prompt where a line is missing or empty."""
    lines = [line.strip() for line in router_text.split("\n")]
    return {
        expert: (lines[k] if k < len(lines) and lines[k] else targets.FIXED_PROMPTS[expert])
        for k, expert in enumerate(targets.EXPERTS)
    }
