"""What goes into each product of the decoder, layer by layer, over a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rsmoe_export.calibration.sample import Sample
from rsmoe_export.decoder.weights import Adapter, DecoderSource
from rsmoe_export.reference.decoder import ReferenceDecoder

#: The inputs of a layer's products, by the first linear layer that reads each: q/k/v share an input, and so do gate/up.
PRODUCTS = ("q", "o", "gate", "down")


def product_of(projection: str) -> str:
    """The one of `PRODUCTS` whose input one of `PROJECTIONS` reads."""
    return {"k": "q", "v": "q", "up": "gate"}.get(projection, projection)


@dataclass(frozen=True)
class Inputs:
    """What went into one product: float64 `[tokens, in]`."""

    values: np.ndarray

    @property
    def moments(self) -> np.ndarray:
        """The mean of `x x^T`, `[in, in]`."""
        return self.values.T @ self.values / len(self.values)

    @property
    def peaks(self) -> np.ndarray:
        """The largest magnitude of each channel, `[in]`."""
        return np.abs(self.values).max(axis=0)


class Activations:
    """Runs the unquantized decoder over a sample, one layer at a time, so that one layer's inputs are in memory.

    In float64, so that neither the BLAS library nor its threads decide about a rounding.
    """

    def __init__(self, source: DecoderSource, adapters: Sequence[Adapter], sample: Sample) -> None:
        self._decoder = ReferenceDecoder(source, adapters=adapters, streamed=True)
        self._decoder.observer = self._observe
        self._sample = sample
        self._next = 0
        self._hidden: list[list[np.ndarray]] = []
        self._inputs: dict[str, list[np.ndarray]] = {}

    def layer(self, index: int) -> Mapping[str, Inputs]:
        """The inputs of layer `index`'s products, by `PRODUCTS`. Layers are cheapest asked for in order."""
        if index < self._next - 1 or not self._hidden:
            self._hidden = [[self._decoder.embed(ids, images) for ids, _ in parts] for images, parts in self._sample]
            self._next = 0
        while self._next <= index:
            self._run(self._next)
            self._next += 1
        return {name: Inputs(np.concatenate(parts)) for name, parts in self._inputs.items()}

    def inputs(self, index: int, projection: str) -> Inputs:
        """The inputs of one of the linear layers (`PROJECTIONS`) of layer `index`."""
        return self.layer(index)[product_of(projection)]

    def head_peaks(self) -> np.ndarray:
        """The largest magnitude of each channel that goes into the output head, float64 `[hidden]`."""
        self.layer(self._decoder.config.layers - 1)
        hidden = np.concatenate([x for parts in self._hidden for x in parts])
        return Inputs(self._decoder.finish(hidden)).peaks

    def _run(self, index: int) -> None:
        self._inputs = {name: [] for name in PRODUCTS}
        for (_, parts), hidden in zip(self._sample, self._hidden, strict=True):
            cache, past = self._decoder.empty_cache(sum(len(ids) for ids, _ in parts)), 0
            for number, (ids, adapter) in enumerate(parts):
                hidden[number] = self._decoder.step(index, hidden[number], past, cache, adapter)
                past += len(ids)

    def _observe(self, name: str, x: np.ndarray) -> None:
        if name in self._inputs:
            self._inputs[name].append(x)
