"""The tower of a recipe: public weights, replaced by the trained tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rsmoe_export.recipe import VisionFacts
from rsmoe_export.sources.tensor_files import TensorFile
from rsmoe_export.sources.torch_pickle import read_state_dict
from rsmoe_export.vision.efficientnet import TowerSpec, lite, tensor_shapes


def trained_tower(facts: VisionFacts, tuned: Path) -> tuple[TowerSpec, dict[str, np.ndarray]]:
    """Shape and weights; `tuned` is the safetensors file of the trained tensors.

    Raises:
        ValueError: the public weights are not installed, or a trained tensor is none of the tower's.
    """
    spec = lite(facts.tower, facts.height, facts.width, facts.padded_for)
    weights = read_state_dict(facts.source.locate())
    shapes = tensor_shapes(spec)
    for name, tensor in TensorFile(tuned).items():
        if name.endswith("num_batches_tracked"):
            continue
        if name not in shapes or tensor.shape != shapes[name]:
            raise ValueError(f"tower tensor {name!r} {tensor.shape}: expected {shapes.get(name, 'no such tensor')}")
        weights[name] = tensor
    return spec, weights
