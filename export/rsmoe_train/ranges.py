"""Ranges of the tower's activations over training images, on which the exporter lays the grids of the int8 tower.

Needs no torch: the tower runs as `rsmoe_export` reads it, in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from rsmoe_export.calibration import ranges
from rsmoe_export.recipe import VisionFacts, vision_facts
from rsmoe_export.vision.trained import trained_tower

from . import PACKAGE, data
from .pixels import pixels

COUNT = 48  # images, as many of RSICD as of UCM
FILE = "vision_ranges.json"


def views(path: Path, facts: VisionFacts) -> Iterator[np.ndarray]:
    """An image as often as the runtime looks at it, normalised f32 [3, height, width]."""
    with Image.open(path) as image:
        values = (pixels(image) / 255 - np.array(facts.mean)) / np.array(facts.std)
    for quarters in range(4 if facts.views == "quarter_turns" else 1):
        yield np.rot90(values, quarters).transpose(2, 0, 1).astype(np.float32)


def run(root: Path, out: Path) -> None:
    """Writes `out`/vision_ranges.json for the tower in `out`."""
    facts, tuned = vision_facts(PACKAGE), out / "tower.safetensors"
    spec, weights = trained_tower(facts, tuned)
    images = data.evenly_spread(data.load(root), COUNT)
    found, pictures = ranges.record(spec, weights, (view for image in images for view in views(image.path, facts)))
    (out / FILE).write_text(ranges.document(tuned, found, pictures), encoding="utf-8")
