"""How foreign an image is: the Mahalanobis distance of its pooled maps to the nearest scene class.

Lee et al., "A simple unified framework for detecting out-of-distribution samples" (NeurIPS 2018): class means and one
shared covariance of the training images' features; as there, an early layer's means stand beside the last one's. It is
the last one that is not tuned, since tuned features forget what noise looks like. Nothing foreign is needed to fit
it. The distance becomes a number between 0 and 1 through a logistic curve whose two points come from strongly changed
views of training images.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from . import checkpoint, data, pictures, vision
from .tower import FIRST_TUNED_BLOCK, Tower

SEED = 4
IMAGES = 9000  # for means and covariance
VIEWS = 600  # changed views, of other images
SHRINKAGE = 0.1  # of the covariance towards a multiple of the unit matrix
CHUNK = 50
# Familiarity at two percentiles of the changed views' distances. Unseen images lie further away than changed views of
# images that the tower was trained on; with less trust at both points, choices are less sure than they are right.
CURVE = ((50, 0.9956), (99, 0.817))


def pooled(tower: Tower, values: Tensor) -> Tensor:
    """Normalised pixels [n, 3, 256, 256] -> f32 [n, 1328]: means over the cells of the features' 1280 channels, then of
    the 48 that leave the part of the tower that is not tuned.
    """
    early = tower.early(values)
    return torch.cat([tower.late(early).float().mean((1, 2)), early.float().mean((2, 3))], 1)


def distances(pooled: np.ndarray, mean: np.ndarray, projection: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Root mean square distance [n] of pooled maps [n, channels] to the nearest centre, in standard deviations."""
    z = (pooled - mean) @ projection
    return np.sqrt(np.stack([np.square(z - centre).mean(1) for centre in centres]).min(0))


def fit(pooled: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean [channels], projection [channels, channels] that whitens the within-class covariance, centres [classes,
    channels].

    No direction is left out: noise differs from scenes in those in which scenes hardly vary.
    """
    mean = pooled.mean(0)
    present, place = np.unique(labels, return_inverse=True)
    means = np.stack([pooled[place == k].mean(0) for k in range(len(present))])
    spread = pooled - means[place]
    covariance = spread.T @ spread / len(spread)
    covariance += SHRINKAGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    variances, directions = np.linalg.eigh(covariance)
    projection = directions / np.sqrt(variances)
    return mean, projection, (means - mean) @ projection


def curve(changed: np.ndarray) -> tuple[float, float]:
    """(a, b) of familiarity = sigmoid(a - b * distance) through the points of CURVE."""
    (x0, y0), (x1, y1) = ((float(np.percentile(changed, at)), math.log(y / (1 - y))) for at, y in CURVE)
    b = (y0 - y1) / (x1 - x0)
    return y0 + b * x0, b


def run(root: Path, work: Path, seed: int = SEED) -> None:
    """Writes `familiarity.pt`: `block`, `mean`, `projection`, `centres`, `scale` as the weight file holds them."""
    if (work / "familiarity.pt").exists():
        return
    samples = data.load(root)
    cache = pictures.open_cache(work, samples)
    tower, _ = vision.tuned(work)
    known = [s for s in samples if s.split == "train" and s.scene is not None and not data.mislabelled(s)]
    random.Random(seed).shuffle(known)
    rng = np.random.default_rng(seed)
    fitted, others = known[:IMAGES], known[IMAGES:][:VIEWS]

    @torch.no_grad()
    def look(chosen: list[data.Sample], view: Callable[[list[int]], Tensor]) -> np.ndarray:
        rows = [s.index for s in chosen]
        chunks = [pooled(tower, view(rows[i : i + CHUNK])) for i in range(0, len(rows), CHUNK)]
        return torch.cat(chunks).double().numpy()

    parts = fit(look(fitted, lambda rows: pictures.plain(cache, rows, None, rng)), np.array([s.label for s in fitted]))
    changed = distances(look(others, lambda rows: pictures.strong(cache, rows, rng)), *parts)
    found = dict(zip(("mean", "projection", "centres"), parts, strict=True)) | {"scale": np.array(curve(changed))}
    tensors = {name: torch.from_numpy(np.ascontiguousarray(v)).float() for name, v in found.items()}
    checkpoint.save(work / "familiarity.pt", {"block": torch.tensor([FIRST_TUNED_BLOCK - 1])} | tensors)
    print(f"familiarity: a, b = {found['scale']}, median distance {np.median(changed):.2f}", flush=True)
