"""Checkpoints made from other checkpoints: fewer positions, fewer layers, a low-rank delta merged in."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rsmoe_export.decoder.config import DecoderConfig
from rsmoe_export.decoder.weights import PROJECTIONS, DecoderSource, LayerWeights, LowRankSet
from rsmoe_export.quantize import Int8Blocks


@dataclass(frozen=True)
class Derived:
    """`base` as it is. Subclasses change what is theirs to change."""

    base: DecoderSource

    @property
    def config(self) -> DecoderConfig:
        """The decoder's shapes."""
        return self.base.config

    def embedding(self) -> np.ndarray | Int8Blocks:
        """Token embeddings `[vocabulary, hidden]`."""
        return self.base.embedding()

    def head(self) -> np.ndarray | Int8Blocks:
        """Output head `[vocabulary, hidden]`."""
        return self.base.head()

    def final_norm(self) -> np.ndarray:
        """float32 `[hidden]`."""
        return self.base.final_norm()

    def layer(self, index: int) -> LayerWeights:
        """Weights of layer `index`."""
        return self.base.layer(index)


@dataclass(frozen=True)
class Limited(Derived):
    """`base` with its rotary tables cut to `positions`, those that a package is meant for."""

    positions: int

    @property
    def config(self) -> DecoderConfig:
        """The base's shapes, fewer positions."""
        config = self.base.config
        return dataclasses.replace(config, max_positions=min(self.positions, config.max_positions))


@dataclass(frozen=True)
class Kept(Derived):
    """`base` with only some of its layers, numbered from 0 in their old order. `layers`: their numbers in the base."""

    layers: Sequence[int]

    def __post_init__(self) -> None:
        count = self.base.config.layers
        ascending = all(a < b for a, b in zip(self.layers, self.layers[1:], strict=False))
        if not self.layers or not ascending or self.layers[0] < 0 or self.layers[-1] >= count:
            raise ValueError(f"kept layers {list(self.layers)}: expected ascending numbers below {count}, at least one")

    @property
    def config(self) -> DecoderConfig:
        """The base's shapes, fewer layers."""
        return dataclasses.replace(self.base.config, layers=len(self.layers))

    def layer(self, index: int) -> LayerWeights:
        """Weights of the `index`-th kept layer."""
        return self.base.layer(self.layers[index])


@dataclass(frozen=True)
class Merged(Derived):
    """`base` with a low-rank delta added to its linear layers: `W + (a @ b)^T`."""

    delta: LowRankSet

    def __post_init__(self) -> None:
        beyond = sorted({layer for layer, _ in self.delta.pairs if layer >= self.base.config.layers})
        if beyond:
            raise ValueError(f"the delta has layer {beyond[0]}, the base only {self.base.config.layers} layers")

    def layer(self, index: int) -> LayerWeights:
        """The base's layer with the delta merged in float32."""
        layer = self.base.layer(index)
        merged = dict(layer.projections)
        for projection in PROJECTIONS:
            pair = self.delta.get(index, projection)
            if pair is not None:
                merged[projection] = merged[projection] + low_rank_product(*pair).T
        return LayerWeights(layer.input_norm, layer.post_norm, merged, layer.biases)


def kept(base: DecoderSource, layers: Sequence[int] | None) -> DecoderSource:
    """`base` with the given layers only; None keeps all."""
    return base if layers is None else Kept(base, layers)


def low_rank_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`a @ b`, summed in float64 and rounded once, so that the result does not depend on the BLAS library."""
    return (a.astype(np.float64) @ b.astype(np.float64)).astype(np.float32)
