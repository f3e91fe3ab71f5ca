"""Atomic checkpoints and a wall-clock budget that survives restarts."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any

import torch

CHECKPOINT_SECONDS = 150.0


def save(path: Path, state: dict[str, Any]) -> None:
    """Writes `state` beside `path` and renames it, so that a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def load(path: Path) -> dict[str, Any] | None:
    """The saved state, or None when there is none."""
    return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None


class Budget:
    """Wall-clock training time of one stage, in seconds, counted over all its runs."""

    def __init__(self, minutes: float, used: float = 0.0) -> None:
        self.total = 60.0 * minutes
        self._before = used
        self._start = time.monotonic()
        self._saved = self._start

    @property
    def used(self) -> float:
        """Seconds of training so far."""
        return self._before + time.monotonic() - self._start

    @property
    def progress(self) -> float:
        """0 at the start, 1 when the budget is spent."""
        return min(1.0, self.used / self.total)

    @property
    def spent(self) -> bool:
        """Whether the stage is over."""
        return self.used >= self.total

    def checkpoint_due(self) -> bool:
        """True once every CHECKPOINT_SECONDS."""
        if time.monotonic() - self._saved < CHECKPOINT_SECONDS:
            return False
        self._saved = time.monotonic()
        return True


def cosine(progress: float, warm: float = 0.03, floor: float = 0.02) -> float:
    """Learning-rate factor: linear warm-up over `warm`, then a cosine from 1 to `floor`."""
    if progress < warm:
        return max(progress / warm, 0.01)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm)))


def shuffled(items: list[int], batch: int, seed: int, skip: int = 0) -> Any:
    """Endless batches of `items`, reshuffled each pass; `skip` batches are passed over (resumed run)."""
    generator = torch.Generator().manual_seed(seed)
    number = 0
    while True:
        order = torch.randperm(len(items), generator=generator).tolist()
        for start in range(0, len(items) - batch + 1, batch):
            number += 1
            if number > skip:
                yield [items[i] for i in order[start : start + batch]]
