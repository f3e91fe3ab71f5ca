"""What a decoder builder needs from a checkpoint, the low-rank delta merged into it, and adapters beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from rsmoe_export.decoder.config import DecoderConfig
from rsmoe_export.quantize import Int8Blocks

#: The linear layers of one decoder layer, by the short names used in trained files.
PROJECTIONS = ("q", "k", "v", "o", "gate", "up", "down")

#: A low-rank pair: a `[in, rank]`, b `[rank, out]`; it adds `x @ a @ b` to a product.
LowRank = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class LayerWeights:
    """float32 weights of one layer. Projections `[out, in]` in Hugging Face order (rotate-half queries and keys)."""

    input_norm: np.ndarray
    post_norm: np.ndarray
    projections: Mapping[str, np.ndarray]
    biases: Mapping[str, np.ndarray] = field(default_factory=dict)


class DecoderSource(Protocol):
    """A checkpoint, read layer by layer so that only one layer is in memory."""

    @property
    def config(self) -> DecoderConfig:
        """The decoder's shapes."""

    def embedding(self) -> np.ndarray | Int8Blocks:
        """Token embeddings `[vocabulary, hidden]`."""

    def head(self) -> np.ndarray | Int8Blocks:
        """Output head `[vocabulary, hidden]`; the embedding where tied."""

    def final_norm(self) -> np.ndarray:
        """float32 `[hidden]`."""

    def layer(self, index: int) -> LayerWeights:
        """Weights of layer `index`."""


@dataclass(frozen=True)
class LowRankSet:
    """Low-rank pairs by layer and projection, as trained files name them: `layers.{i}.{projection}.{a,b}`."""

    pairs: Mapping[tuple[int, str], LowRank]

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], prefix: str = "") -> LowRankSet:
        """Collects `{prefix}layers.{i}.{projection}.{a,b}` as float32.

        Raises:
            ValueError: a name or shape is not as the convention says.
        """
        halves: dict[tuple[int, str], dict[str, np.ndarray]] = {}
        for name, tensor in tensors.items():
            if not name.startswith(prefix + "layers."):
                continue
            parts = name[len(prefix) :].split(".")
            if len(parts) != 4 or parts[2] not in PROJECTIONS or parts[3] not in ("a", "b"):
                raise ValueError(f"unknown low-rank tensor {name!r}")
            halves.setdefault((int(parts[1]), parts[2]), {})[parts[3]] = tensor.astype(np.float32)
        pairs = {}
        for (layer, projection), pair in halves.items():
            where = f"{prefix}layers.{layer}.{projection}"
            if set(pair) != {"a", "b"}:
                raise ValueError(f"{where}: one of a, b is missing")
            if pair["a"].shape[1] != pair["b"].shape[0]:
                raise ValueError(f"{where}: a {pair['a'].shape} and b {pair['b'].shape} do not chain")
            pairs[layer, projection] = (pair["a"], pair["b"])
        return cls(pairs)

    def get(self, layer: int, projection: str) -> LowRank | None:
        """The pair of one linear layer, if it has one."""
        return self.pairs.get((layer, projection))


@dataclass(frozen=True)
class Adapter:
    """A named set of low-rank pairs that rows can switch on."""

    name: str
    pairs: LowRankSet
