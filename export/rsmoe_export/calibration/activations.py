"""Statistics of what goes into each product of the decoder, layer by layer, over a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rsmoe_export.calibration.sample import Sample
from rsmoe_export.decoder.weights import Adapter, DecoderSource
from rsmoe_export.reference.decoder import ReferenceDecoder

#: The products of a layer, by the first linear layer of each: q/k/v share an input, and so do gate/up.
PRODUCTS = ("q", "o", "gate", "down")


@dataclass
class Inputs:
    """What went into one product, float64: the mean of `x x^T` `[in, in]`, and the largest magnitude of each channel
    `[in]`.
    """

    moments: np.ndarray
    peaks: np.ndarray


class Activations:
    """Runs the unquantized decoder over a sample, one layer at a time, so that one layer's statistics are in memory.

    In float64, so that neither the BLAS library nor its threads decide about a rounding.
    """

    def __init__(self, source: DecoderSource, adapters: Sequence[Adapter], sample: Sample) -> None:
        self._decoder = ReferenceDecoder(source, adapters=adapters, streamed=True)
        self._decoder.observer = self._observe
        self._sample = sample
        self._next = 0
        self._hidden: list[list[np.ndarray]] = []
        self._sums: dict[str, Inputs] = {}
        self._rows = 0

    def layer(self, index: int) -> Mapping[str, Inputs]:
        """The inputs of layer `index`'s products, by `PRODUCTS`. Layers are cheapest asked for in order."""
        if index < self._next - 1 or not self._hidden:
            self._hidden = [[self._decoder.embed(ids, images) for ids, _ in parts] for images, parts in self._sample]
            self._next = 0
        while self._next <= index:
            self._run(self._next)
            self._next += 1
        return {name: Inputs(sums.moments / self._rows, sums.peaks) for name, sums in self._sums.items()}

    def head_peaks(self) -> np.ndarray:
        """The largest magnitude of each channel that goes into the output head, float64 `[hidden]`."""
        self.layer(self._decoder.config.layers - 1)
        parts = [x for hidden in self._hidden for x in hidden]
        return np.abs(self._decoder.finish(np.concatenate(parts))).max(axis=0)

    def _run(self, index: int) -> None:
        self._sums, self._rows = {}, 0
        for (_, parts), hidden in zip(self._sample, self._hidden, strict=True):
            cache, past = self._decoder.empty_cache(sum(len(ids) for ids, _ in parts)), 0
            for number, (ids, adapter) in enumerate(parts):
                hidden[number] = self._decoder.step(index, hidden[number], past, cache, adapter)
                past += len(ids)
            self._rows += past

    def _observe(self, name: str, x: np.ndarray) -> None:
        if name in PRODUCTS:
            sums = self._sums.setdefault(name, Inputs(np.zeros((x.shape[1],) * 2), np.zeros(x.shape[1])))
            sums.moments += x.T @ x
            np.maximum(sums.peaks, np.abs(x).max(axis=0), out=sums.peaks)
