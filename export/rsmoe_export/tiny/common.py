"""What both tiny packages share: names, a tiny tower, random vision weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from rsmoe_export.sources.random import normal
from rsmoe_export.vision.efficientnet import Block, TowerSpec

EXPERTS = ("theme", "objects", "relationship")
VARIANTS = ("fp32", "w8a8", "int4")
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
LICENSE = {"id": "MIT OR Apache-2.0", "notice": "random weights for tests; says nothing about images"}
GENERATION = {"max_new_tokens": {"caption": 10, "router": 12, "expert": 8, "answer": 4}}


def tiny_tower(height: int, width: int) -> TowerSpec:
    """The EfficientNet builder at toy widths, 8 pixels per cell: a skip, both kernel sizes, a block without
    expansion.
    """
    blocks = (
        Block(3, 1, 1, 8, 8),
        Block(3, 2, 2, 8, 12),
        Block(3, 1, 2, 12, 12),
        Block(5, 2, 2, 12, 16),
    )
    return TowerSpec(height, width, 8, blocks, 24)


class RandomTensors(Mapping[str, np.ndarray]):
    """Random weights by name, made when they are asked for: matrices and kernels scaled by their inputs, norms near
    one, variances positive, biases small.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], seed: int) -> None:
        self._shapes = shapes
        self._keys = {name: (seed, number) for number, name in enumerate(shapes)}

    def __getitem__(self, name: str) -> np.ndarray:
        shape, key = self._shapes[name], self._keys[name]
        if name.endswith("running_var"):
            return (0.5 + np.abs(normal(key, shape, 0.5))).astype(np.float32)
        if name.endswith(("bias", "running_mean")):
            return normal(key, shape, 0.2)
        if len(shape) == 1:
            return 1 + normal(key, shape, 0.1)
        if "patch_embedding" not in name and (
            "embedding" in name or name.endswith(("query_tokens", "position", "_table"))
        ):
            return normal(key, shape, 1.0)
        return normal(key, shape, 1.6 * float(np.prod(shape[1:])) ** -0.5)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


def random_tensors(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    """All of `RandomTensors`."""
    return dict(RandomTensors(shapes, seed))
