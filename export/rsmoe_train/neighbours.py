"""Which training images are most like an image, by the tower's pooled features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from . import checkpoint, data, pictures, vision
from .data import Sample

OWN = 0.25  # the image's own share among its neighbours
CHUNK = 32  # images whose features are made together


@dataclass(frozen=True)
class Reach:
    """How far a source's neighbourhoods go: so many images, each counting exp(sharpness * (cosine - the nearest's))."""

    count: int
    sharpness: float


# Chosen on the validation images, for which the best of the training part's sentences was taken (CIDEr-D + objects):
# UCM CIDEr 3.93 and object F1 .803, with 60 to 120 neighbours and a sharpness of 2 to 8 F1 .789 to .803; RSICD 1.24 and
# .594, with 80 neighbours 1.23 and .595, with 20 1.20 and .595.
REACH = {"rsicd": Reach(40, 8.0), "ucm": Reach(80, 4.0)}


@dataclass(frozen=True)
class Around:
    """An image and its neighbours: row numbers, the image's own first, and their weights, which add up to 1."""

    rows: list[int]
    weights: list[float]

    def __iter__(self) -> Iterator[tuple[int, float]]:
        return zip(self.rows, self.weights, strict=True)


def cosines(asked: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Similarities f32 [n, m] of pooled features [n, channels] and [m, channels], standardised as in `known`."""
    mean, spread = known.mean(0), known.std(0) + 1e-3
    units = [(x - mean) / spread for x in (asked, known)]
    units = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in units]
    return (units[0] @ units[1].T).astype(np.float32)


def nearest(asked: list[int], known: list[int], similar: np.ndarray, reach: Reach) -> list[Around]:
    """Each asked row's neighbours among the known ones by their similarities [asked, known]; no row is its own."""
    found = []
    for row, own in zip(asked, similar, strict=True):
        near = [int(at) for at in np.argsort(-own, kind="stable")[: reach.count + 1] if known[at] != row]
        near = near[: reach.count]
        weights = np.exp(reach.sharpness * (own[near] - own[near[0]]))
        weights = (1 - OWN) * weights / weights.sum()
        found.append(Around([row, *(known[at] for at in near)], [OWN, *weights.tolist()]))
    return found


def pooled(work: Path, samples: list[Sample], rows: list[int]) -> np.ndarray:
    """Means over the cells of the tower's features, f32 [rows, 1280]."""
    tower, _ = vision.tuned(work)
    cache, rng = pictures.open_cache(work, samples), np.random.default_rng(0)
    parts = [rows[at : at + CHUNK] for at in range(0, len(rows), CHUNK)]
    with torch.no_grad():
        return np.concatenate([tower(pictures.plain(cache, part, None, rng)).mean((1, 2)).numpy() for part in parts])


def find(work: Path, samples: list[Sample]) -> dict[int, Around]:
    """Every image's neighbours among the training images of its source whose captions differ; found once, in some ten
    minutes, and kept in `neighbours.pt`.
    """
    path = work / "neighbours.pt"
    state = checkpoint.load(path)
    if state is None:
        state = {}
        for source, reach in REACH.items():
            asked = [s.index for s in samples if s.source == source and not data.mislabelled(s)]
            keys = [at for at, row in enumerate(asked) if samples[row].split == "train" and data.varied(samples[row])]
            features = pooled(work, samples, asked)
            around = nearest(asked, [asked[at] for at in keys], cosines(features, features[keys]), reach)
            state[source] = {
                "rows": torch.tensor([one.rows for one in around]),
                "weights": torch.tensor([one.weights for one in around]),
            }
        checkpoint.save(path, state)
    return {
        rows[0]: Around(rows, weights)
        for part in state.values()
        for rows, weights in zip(part["rows"].tolist(), part["weights"].tolist(), strict=True)
    }
