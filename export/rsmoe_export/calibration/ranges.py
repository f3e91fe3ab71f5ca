"""Ranges of a tower's activations over pictures, as `trained/vision_ranges.json` holds them.

tower_sha256: of the tower file that they belong to; pictures: how many were looked at; ranges: lowest and highest value
of each activation, by the names that `reference.vision.tower` gives them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from rsmoe_export.package import sha256_of
from rsmoe_export.reference import vision
from rsmoe_export.vision.efficientnet import TowerSpec
from rsmoe_export.vision.int8 import Range

#: Decimals to which ranges are widened: far below a step of any grid, far above what sums of floats differ by.
DECIMALS = 3


def record(
    spec: TowerSpec, weights: Mapping[str, np.ndarray], pictures: Iterable[np.ndarray]
) -> tuple[dict[str, Range], int]:
    """Ranges over pictures f32 `[3, height, width]`, minimum to maximum, and how many pictures there were.

    In float64, so that the same pictures give the same ranges everywhere.
    """
    ranges: dict[str, Range] = {}

    def observe(name: str, values: np.ndarray) -> None:
        low, high = ranges.get(name, (math.inf, -math.inf))
        ranges[name] = min(low, float(values.min())), max(high, float(values.max()))

    count = 0
    for picture in pictures:
        vision.tower(spec, weights, picture, observe=observe)
        count += 1
    return {name: _widened(*found) for name, found in ranges.items()}, count


def _widened(low: float, high: float) -> Range:
    whole = 10**DECIMALS
    return math.floor(low * whole) / whole, math.ceil(high * whole) / whole


def document(tower: Path, ranges: Mapping[str, Range], pictures: int) -> str:
    """The JSON text for the tower file `tower`."""
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(span)}" for name, span in ranges.items())
    head = f'{{\n "tower_sha256": "{sha256_of(tower)}",\n "pictures": {pictures},\n "ranges": {{\n'
    return f"{head}{lines}\n }}\n}}\n"


def read(path: Path, tower: Path) -> dict[str, Range]:
    """The ranges in the JSON file `path`, which must belong to the tower file `tower`.

    Raises:
        ValueError: they belong to another tower, or one is not a finite interval.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        belongs_to = found["tower_sha256"]
        ranges = {name: (float(low), float(high)) for name, (low, high) in found["ranges"].items()}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path}: not a file of vision ranges: {error}") from error
    if belongs_to != sha256_of(tower):
        raise ValueError(
            f"{path} was recorded with another tower than {tower.name}: "
            f"record it again with `python -m rsmoe_train ranges`"
        )
    for name, (low, high) in ranges.items():
        if not -math.inf < low <= high < math.inf:
            raise ValueError(f"{path}: {name!r}: expected a finite lowest and highest value, found {low}, {high}")
    return ranges
