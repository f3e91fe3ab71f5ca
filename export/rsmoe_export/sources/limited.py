"""A checkpoint whose rotary tables are cut to the positions that a package is meant for."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from rsmoe_export.decoder.config import DecoderConfig
from rsmoe_export.decoder.weights import DecoderSource, LayerWeights
from rsmoe_export.quantize import Int8Blocks


@dataclass(frozen=True)
class Limited:
    """`base` with at most `positions` positions."""

    base: DecoderSource
    positions: int

    @property
    def config(self) -> DecoderConfig:
        """The base's shapes, fewer positions."""
        config = self.base.config
        return dataclasses.replace(config, max_positions=min(self.positions, config.max_positions))

    def embedding(self) -> np.ndarray | Int8Blocks:
        """The base's embedding."""
        return self.base.embedding()

    def head(self) -> np.ndarray | Int8Blocks:
        """The base's head."""
        return self.base.head()

    def final_norm(self) -> np.ndarray:
        """The base's final norm."""
        return self.base.final_norm()

    def layer(self, index: int) -> LayerWeights:
        """The base's layer."""
        return self.base.layer(index)
