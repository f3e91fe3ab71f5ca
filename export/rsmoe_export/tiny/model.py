"""The weights of a tiny package, as builder and reference both take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rsmoe_export.connector.projection import ProjectionSpec
from rsmoe_export.connector.qformer import QFormerSpec
from rsmoe_export.decoder.weights import Adapter
from rsmoe_export.tiny.weights import TinyDecoder
from rsmoe_export.vision.efficientnet import TowerSpec
from rsmoe_export.vision.familiarity import Familiarity
from rsmoe_export.vision.int8 import Int8Tower


@dataclass(frozen=True)
class TinyModel:
    """All weights. `decoders` by name, `base` first; adapters belong to `base`."""

    tower: TowerSpec
    tower_weights: Mapping[str, np.ndarray]
    connector: ProjectionSpec | QFormerSpec
    connector_weights: Mapping[str, np.ndarray]
    decoders: Mapping[str, TinyDecoder]
    adapters: Sequence[Adapter]
    output_ids: np.ndarray | None
    familiarity: Familiarity | None = None
    #: How the quantized variants round the tower; None: they do not.
    int8: Int8Tower | None = None
