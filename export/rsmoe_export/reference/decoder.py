"""A decoder in float64 numpy, one row at a time. It shares no code with the graph builder but the weights' and the
adapters' quantization.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rsmoe_export.calibration.ranks import rank_grid
from rsmoe_export.decoder.adapters import AdapterStack
from rsmoe_export.decoder.weights import Adapter, DecoderSource, LayerWeights
from rsmoe_export.quantize import Int8Blocks, int4_blocks, int8_blocks, int8_columns


@dataclass
class Cache:
    """Keys and values of one row: float64 `[layers, key_value_heads, capacity, head_dim]`."""

    keys: np.ndarray
    values: np.ndarray

    def copy(self) -> Cache:
        """A copy that can go its own way."""
        return Cache(self.keys.copy(), self.values.copy())


#: Linear layers that a graph computes as one product.
_FUSED = (("q",), ("k", "v"), ("o",), ("gate",), ("up",), ("down",))


@dataclass(frozen=True)
class _Pair:
    """What an adapter adds to a linear layer: `x @ down @ up`, float64."""

    down: np.ndarray
    up: np.ndarray
    #: The inner values are whole steps, in units of the row's scale.
    stepped: bool


@dataclass(frozen=True)
class _Layer:
    """One layer as a variant computes it, float64; pairs by adapter and linear layer."""

    weights: LayerWeights
    pairs: dict[tuple[int, str], _Pair]


def quantize_rows(x: np.ndarray) -> np.ndarray:
    """x with every row rounded to 255 symmetric steps of its own scale."""
    scale = np.abs(x).max(axis=-1, keepdims=True) / 127
    return np.rint(np.divide(x, scale, out=np.zeros_like(x), where=scale > 0)) * scale


class ReferenceDecoder:
    """Runs what a variant's graph should compute."""

    def __init__(
        self,
        source: DecoderSource,
        variant: str = "fp32",
        adapters: Sequence[Adapter] = (),
        output_ids: np.ndarray | None = None,
        *,
        streamed: bool = False,
    ) -> None:
        """With `streamed`, a layer's weights are read when they are needed and forgotten after: for large models."""
        self.source = source
        self.streamed = streamed
        self.config = source.config
        self.variant = variant
        self.adapters = adapters
        self.output_ids = output_ids
        #: Called with each linear layer's name and input `[new, in]`.
        self.observer: Callable[[str, np.ndarray], None] | None = None
        self._layers: dict[int, _Layer] = {}
        self.final_norm = source.final_norm().astype(np.float64)
        table = source.embedding()
        if variant != "fp32" and not isinstance(table, Int8Blocks):
            table = int8_blocks(table)
        self.table = _dense(table)
        head = source.head()
        if output_ids is not None:
            head = head.take(output_ids) if isinstance(head, Int8Blocks) else head[output_ids]
        if variant == "int4":
            self.head = _dense(head if isinstance(head, Int8Blocks) else int8_blocks(head))
        else:
            self.head = self._effective(_dense(head).astype(np.float32))

    def _layer(self, index: int) -> _Layer:
        """One layer with the variant's effective weights."""
        if index not in self._layers:
            if self.streamed:
                self._layers.clear()
            layer = self.source.layer(index)
            effective: dict[str, np.ndarray] = {}
            pairs: dict[tuple[int, str], _Pair] = {}
            for names in _FUSED:
                self._fused(index, layer, names, effective, pairs)
            weights = LayerWeights(layer.input_norm, layer.post_norm, effective, layer.biases)
            self._layers[index] = _Layer(weights, pairs)
        return self._layers[index]

    def _fused(
        self,
        index: int,
        layer: LayerWeights,
        names: Sequence[str],
        effective: dict[str, np.ndarray],
        pairs: dict[tuple[int, str], _Pair],
    ) -> None:
        """Adds what the variant makes of linear layers that are one product, and of their adapters."""
        parts = [(name, len(layer.projections[name])) for name in names]
        weight = np.concatenate([layer.projections[name] for name in names])
        width = weight.shape[1]
        share = AdapterStack(self.adapters).share("", index, parts)
        grid = None
        if share is not None:
            down, up = share.down, share.up
            if self.variant == "w8a8":
                grid = rank_grid(weight, down, up)
                down = self._effective((down if grid is None else down / grid.steps).T).T
        weight = self._effective(weight if grid is None else grid.weight)
        if grid is not None:
            up = weight[:, width:].T
        start = 0
        for name, count in parts:
            rows = slice(start, start + count)
            effective[name] = weight[rows, :width]
            if share is not None:
                for number in range(1, len(share.table)):
                    own = share.table[number] == 1
                    held = _Pair(down[:, own].astype(np.float64), up[own, rows].astype(np.float64), grid is not None)
                    pairs[number, name] = held
            start += count

    def _effective(self, weight: np.ndarray) -> np.ndarray:
        """What the variant makes of a weight, float64."""
        if self.variant == "w8a8":
            weight = int8_columns(weight).dequantize()
        elif self.variant == "int4":
            weight = int4_blocks(weight).dequantize()
        return weight.astype(np.float64)

    def _activations(self, x: np.ndarray) -> np.ndarray:
        return quantize_rows(x) if self.variant == "w8a8" else x

    def empty_cache(self, capacity: int) -> Cache:
        """A cache of zeros."""
        config = self.config
        shape = (config.layers, config.key_value_heads, capacity, config.head_dim)
        return Cache(np.zeros(shape), np.zeros(shape))

    def embed(self, ids: np.ndarray, images: np.ndarray) -> np.ndarray:
        """float64 `[new, hidden]` of ids `[new]`; id < 0 is row `-(id + 1)` of images `[image tokens, hidden]`."""
        rows = [self.table[i] if i >= 0 else images[-(i + 1)] for i in ids.tolist()]
        return np.stack(rows).astype(np.float64)

    def forward(self, x: np.ndarray, past: int, cache: Cache, adapter: int = 0) -> np.ndarray:
        """Hidden states after the final norm, float64 `[new, hidden]`, of embeddings x; writes slots past.. of the
        cache.
        """
        for index in range(self.config.layers):
            x = self.step(index, x, past, cache, adapter)
        return self.finish(x)

    def step(self, index: int, x: np.ndarray, past: int, cache: Cache, adapter: int = 0) -> np.ndarray:
        """x after layer `index`."""
        layer = self._layer(index).weights
        inner = self._norm(x, layer.input_norm)
        x = x + self._attend(index, inner, past, cache, adapter)
        inner = self._norm(x, layer.post_norm)
        gate = self._linear(index, "gate", inner, adapter)
        up = self._linear(index, "up", inner, adapter)
        return x + self._linear(index, "down", gate / (1 + np.exp(-gate)) * up, adapter)

    def finish(self, x: np.ndarray) -> np.ndarray:
        """The final norm."""
        return self._norm(x, self.final_norm)

    def logits(self, hidden: np.ndarray) -> np.ndarray:
        """float64 logits of hidden states over the shortlist, or the vocabulary if there is none."""
        return self._activations(hidden) @ self.head.T

    def full_logits(self, hidden: np.ndarray) -> np.ndarray:
        """float64 logits over the whole vocabulary."""
        return hidden @ _dense(self.source.head()).T

    def token(self, index: int) -> int:
        """Token id of a logit index."""
        return index if self.output_ids is None else int(self.output_ids[index])

    def _norm(self, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + self.config.rms_epsilon) * weight

    def _linear(self, layer: int, name: str, x: np.ndarray, adapter: int) -> np.ndarray:
        held = self._layer(layer)
        if self.observer is not None:
            self.observer(name, x)
        seen = self._activations(x)
        y = seen @ held.weights.projections[name].T
        if name in held.weights.biases:
            y = y + held.weights.biases[name]
        if (adapter, name) in held.pairs:
            pair = held.pairs[adapter, name]
            inner = seen @ pair.down
            if pair.stepped:
                unit = np.abs(x).max(axis=-1, keepdims=True) / 127
                steps = np.divide(inner, unit, out=np.zeros_like(inner), where=unit > 0)
                inner = np.clip(np.rint(steps), -128, 127) * unit
            y = y + inner @ pair.up
        return y

    def _attend(self, layer: int, x: np.ndarray, past: int, cache: Cache, adapter: int) -> np.ndarray:
        config, new = self.config, len(x)
        query, key, value = (
            self._linear(layer, name, x, adapter).reshape(new, -1, config.head_dim) for name in ("q", "k", "v")
        )
        positions = np.arange(past, past + new)
        cache.keys[layer, :, past : past + new] = self._rotate(key, positions).transpose(1, 0, 2)
        cache.values[layer, :, past : past + new] = value.transpose(1, 0, 2)
        query = self._rotate(query, positions)
        out = np.empty((new, config.heads, config.head_dim))
        unseen = np.arange(past + new) > positions[:, None]
        for head in range(config.heads):
            keys, values = (part[layer, head // config.groups, : past + new] for part in (cache.keys, cache.values))
            scores = np.where(unseen, -np.inf, query[:, head] @ keys.T / np.sqrt(config.head_dim))
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            out[:, head] = weights / weights.sum(axis=1, keepdims=True) @ values
        return self._linear(layer, "o", out.reshape(new, -1), adapter)

    def _rotate(self, x: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Rotates pairs (i, i + head_dim / 2) of x `[new, heads, head_dim]`."""
        angles = positions[:, None, None] * self.config.inverse_frequencies().astype(np.float64)
        half = self.config.head_dim // 2
        first, second = x[..., :half], x[..., half:]
        cosine, sine = np.cos(angles), np.sin(angles)
        return np.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)


def _dense(table: np.ndarray | Int8Blocks) -> np.ndarray:
    return (table.dequantize() if isinstance(table, Int8Blocks) else table).astype(np.float64)
