"""A sample of what the decoder reads and writes: image embeddings and token sequences, as `trained/sample.safetensors`
holds them.

image_embeddings f16 `[sequences, image_tokens, hidden]`; ids i32 `[sequences, length]`, an id < 0 being image token
`-(id + 1)` of the sequence's own image; adapters i32 `[sequences, length]`, 0 for the bare base; lengths i32
`[sequences]`, since rows are padded on the right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

#: A run of tokens with one adapter: ids `[new]`, the adapter's number.
Part = tuple[np.ndarray, int]


@dataclass(frozen=True)
class Sample:
    """Token sequences, each with its image."""

    #: float32 `[sequences, image_tokens, hidden]`.
    images: np.ndarray
    sequences: Sequence[Sequence[Part]]

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], hidden: int) -> Sample:
        """Reads the four tensors.

        Raises:
            ValueError: one is missing, or its shape does not fit the others or the decoder's width.
        """
        names = ("image_embeddings", "ids", "adapters", "lengths")
        if set(tensors) != set(names):
            raise ValueError(f"sample tensors: expected {', '.join(names)}, found {', '.join(sorted(tensors))}")
        images, ids, adapters, lengths = (tensors[name] for name in names)
        fits = ids.ndim == 2 and adapters.shape == ids.shape and lengths.shape == ids.shape[:1]
        if not fits or images.ndim != 3 or images.shape[::2] != (len(ids), hidden) or len(ids) == 0:
            shapes = ", ".join(f"{name} {tensors[name].shape}" for name in names)
            raise ValueError(f"sample tensors do not fit each other or hidden {hidden}: {shapes}")
        sequences = []
        for row, length in enumerate(lengths.tolist()):
            parts = groupby(range(length), key=lambda place, row=row: int(adapters[row, place]))
            sequences.append([(ids[row, list(places)].astype(np.int64), adapter) for adapter, places in parts])
        return cls(images.astype(np.float32), sequences)

    def tensors(self) -> dict[str, np.ndarray]:
        """The four tensors, to be saved."""
        lengths = np.array([sum(len(ids) for ids, _ in parts) for parts in self.sequences], np.int32)
        ids = np.zeros((len(lengths), lengths.max()), np.int32)
        adapters = np.zeros_like(ids)
        for row, parts in enumerate(self.sequences):
            ids[row, : lengths[row]] = np.concatenate([part for part, _ in parts])
            adapters[row, : lengths[row]] = np.concatenate([np.full(len(part), number) for part, number in parts])
        images = self.images.astype(np.float16)
        return {"image_embeddings": images, "ids": ids, "adapters": adapters, "lengths": lengths}

    def __iter__(self) -> Iterator[tuple[np.ndarray, Sequence[Part]]]:
        """Images and parts, sequence by sequence."""
        return zip(self.images, self.sequences, strict=True)
