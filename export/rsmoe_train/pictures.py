"""Images for training: a byte cache of all of them, and the changes under which their texts stay true.

`pictures.u8` in the working directory holds RGB uint8 [n, 256, 256, 3] in the order of `data.load`.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from . import data
from .pixels import IMAGE_SIZE, pixels
from .tower import normalise

SHAPE = (IMAGE_SIZE, IMAGE_SIZE, 3)
SMALLEST_CROP = 0.6  # share of the area, in the vision stage
BLURRED = 0.15  # share of images that are seen at half their resolution or less


def open_cache(work: Path, samples: list[data.Sample]) -> np.memmap:
    """The byte cache, decoded on the first call."""
    path = work / "pictures.u8"
    if not path.exists():
        partial = path.with_suffix(".partial")
        cache = np.memmap(partial, np.uint8, "w+", shape=(len(samples), *SHAPE))
        for sample in samples:
            with Image.open(sample.path) as image:
                cache[sample.index] = pixels(image)
        cache.flush()
        os.replace(partial, path)
    return np.memmap(path, np.uint8, "r", shape=(len(samples), *SHAPE))


def turned(rgb: np.ndarray, number: int) -> np.ndarray:
    """One of the eight dihedral variants of [h, w, 3]; 0 is the image itself."""
    if number >= 4:
        rgb = rgb[:, ::-1]
    return np.rot90(rgb, number % 4)


def cropped(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A part of the image at full size again: objects up to 1.3 times as large, or a blurred view of them."""
    area, ratio = rng.uniform(SMALLEST_CROP, 1.0), np.exp(rng.uniform(-0.15, 0.15))
    width, height = (min(1.0, np.sqrt(area * r)) * IMAGE_SIZE for r in (ratio, 1 / ratio))
    left, top = rng.uniform(0, IMAGE_SIZE - width), rng.uniform(0, IMAGE_SIZE - height)
    image = Image.fromarray(np.ascontiguousarray(rgb))
    if rng.random() < BLURRED:
        size = int(rng.uniform(0.3, 0.7) * IMAGE_SIZE)
        image = image.resize((size, size), Image.Resampling.BOX)
        scale = size / IMAGE_SIZE
        left, top, width, height = left * scale, top * scale, width * scale, height * scale
    box = (left, top, left + width, top + height)
    return np.asarray(image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR, box=box))


def strong(cache: np.memmap, rows: list[int], rng: np.random.Generator) -> Tensor:
    """The vision stage's view of the rows: turned, cropped, sometimes blurred, brighter, darker or tinted.

    Normalised f32 [n, 3, 256, 256].
    """
    views = np.stack([cropped(turned(cache[row], int(rng.integers(8))), rng) for row in rows]).astype(np.float32)
    gain = rng.uniform(0.8, 1.2, (len(rows), 1, 1, 1)) * rng.uniform(0.93, 1.07, (len(rows), 1, 1, 3))
    views = views * gain.astype(np.float32) + rng.uniform(-20, 20, (len(rows), 1, 1, 1)).astype(np.float32)
    return normalise(torch.from_numpy(views.clip(0, 255)))


def plain(cache: np.memmap, rows: list[int], fixed: list[bool] | None, rng: np.random.Generator) -> Tensor:
    """Images as they are, turned at random unless `fixed` (None: all fixed). Normalised f32 [n, 3, 256, 256]."""
    fixed = [True] * len(rows) if fixed is None else fixed
    views = [cache[r] if f else turned(cache[r], int(rng.integers(8))) for r, f in zip(rows, fixed, strict=True)]
    return normalise(torch.from_numpy(np.stack(views)))
