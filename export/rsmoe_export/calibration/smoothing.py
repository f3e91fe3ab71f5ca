"""Evens out the channels of a product's input before its rows are rounded to int8, at the expense of the weights.

Source: Xiao et al., "SmoothQuant" (arXiv 2211.10438). A channel's activations are divided by sqrt(peak of the
activations / peak of the weights that read it) and those weights are multiplied by it. The division is folded into
what makes the activations (the norm before q/k/v and gate/up, the rows of `up` before `down`), so that but for rounding
the same is computed by the same graph. Only before the output head it is done by a node of its own, since the hidden
states of the final norm are an output too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rsmoe_export.calibration.activations import Activations, Inputs, product_of
from rsmoe_export.decoder.weights import Adapter, DecoderSource, LayerWeights, LowRankSet
from rsmoe_export.quantize import dense
from rsmoe_export.sources.derived import Derived

#: Which linear layers read which smoothed input. (The input of `o` needs it least, and query heads share its channels.)
READERS = {"q": ("q", "k", "v"), "gate": ("gate", "up"), "down": ("down",)}

#: Divisors float32 `[in]` of one layer's inputs, by the keys of `READERS`.
Divisors = Mapping[str, np.ndarray]


def smooth(
    source: DecoderSource, adapters: Sequence[Adapter], activations: Activations
) -> tuple[Smoothed, list[Adapter]]:
    """The same model with smoothed inputs; `activations` are those of `source` with `adapters`."""
    divisors = [
        _divisors(source.layer(index), {name: found.peaks for name, found in activations.layer(index).items()})
        for index in range(source.config.layers)
    ]
    head = _ratio(activations.head_peaks(), np.abs(dense(source.head())).max(axis=0))
    return Smoothed(source, divisors, head), [
        Adapter(adapter.name, _low_rank(adapter, divisors)) for adapter in adapters
    ]


def _divisors(layer: LayerWeights, peaks: Mapping[str, np.ndarray]) -> Divisors:
    divisors = {}
    for name, readers in READERS.items():
        weights = np.max([np.abs(layer.projections[reader]).max(axis=0) for reader in readers], axis=0)
        divisors[name] = _ratio(peaks[name], weights)
    return divisors


def _ratio(peaks: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The divisors of channels with such peaks; a channel that is never used, or never read, is left alone."""
    used = (peaks > 0) & (weights > 0)
    return np.sqrt(np.divide(peaks, weights, out=np.ones(len(weights)), where=used)).astype(np.float32)


@dataclass(frozen=True)
class Smoothed(Derived):
    """`base` with the inputs of its products divided, layer by layer, and their weights multiplied."""

    divisors: Sequence[Divisors]
    #: float32 `[hidden]`: what the head's input is to be divided by.
    head_divisors: np.ndarray

    def head(self) -> np.ndarray:
        """The head for the divided input, float32."""
        return dense(self.base.head()) * self.head_divisors

    def layer(self, index: int) -> LayerWeights:
        """The base's layer, rescaled."""
        layer, divisors = self.base.layer(index), self.divisors[index]
        projections, biases = dict(layer.projections), dict(layer.biases)
        for name, readers in READERS.items():
            for reader in readers:
                projections[reader] = projections[reader] * divisors[name]
        projections["up"] = projections["up"] / divisors["down"][:, None]
        if "up" in biases:
            biases["up"] = biases["up"] / divisors["down"]
        return LayerWeights(layer.input_norm / divisors["q"], layer.post_norm / divisors["gate"], projections, biases)


@dataclass(frozen=True)
class SmoothedActivations:
    """The inputs of `smoothed`'s products, where `base` has those of the decoder that it was made of."""

    base: Activations
    smoothed: Smoothed

    def inputs(self, index: int, projection: str) -> Inputs:
        """See `Activations.inputs`."""
        found = self.base.inputs(index, projection)
        divisors = self.smoothed.divisors[index].get(product_of(projection))
        return found if divisors is None else Inputs(found.values / divisors)


def _low_rank(adapter: Adapter, divisors: Sequence[Divisors]) -> LowRankSet:
    """The adapter's pairs for the divided inputs, and for the divided output of `up`."""
    pairs = dict(adapter.pairs.pairs)
    for index, held in enumerate(divisors):
        for name, readers in READERS.items():
            for reader in readers:
                if (index, reader) in pairs:
                    a, b = pairs[index, reader]
                    pairs[index, reader] = (a * held[name][:, None], b / held["down"] if reader == "up" else b)
    return LowRankSet(pairs)
