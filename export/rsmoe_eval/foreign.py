"""The honesty set: images that show no scene from above, generated (seeded) or gathered from photographs.

`python -m rsmoe_eval foreign --out DIR [--photos DIR ...]` writes `DIR/<kind>/<number>.png`; photographs are copied as
they are to `DIR/photo/`. The kind of an image is the name of its folder.
"""

from __future__ import annotations

import shutil
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from .foreign_kinds import KINDS

EACH = 14  # images of each kind
SEED = 3
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".tif")
PHOTO = "photo"


def generator(seed: int, kind: str, number: int) -> np.random.Generator:
    """A stream for each image, so that more images or kinds change none of the others."""
    return np.random.default_rng([seed, zlib.crc32(kind.encode()), number])


def generate(out: Path, seed: int = SEED, each: int = EACH) -> int:
    """Writes `each` images of every kind; returns how many. The same seed writes the same bytes."""
    for kind, make in KINDS.items():
        (out / kind).mkdir(parents=True, exist_ok=True)
        for number in range(each):
            Image.fromarray(make(generator(seed, kind, number))).save(out / kind / f"{number:03}.png")
    return len(KINDS) * each


def gather(out: Path, sources: list[Path]) -> int:
    """Copies every picture under the sources, named by number in the order of their paths; returns how many."""
    found = [path for source in sources for path in sorted(source.rglob("*")) if path.suffix.lower() in PICTURES]
    if found:
        (out / PHOTO).mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(found):
        shutil.copyfile(path, out / PHOTO / f"{number:03}{path.suffix.lower()}")
    return len(found)


def listed(root: Path) -> dict[str, list[Path]]:
    """Kind -> its images, in order of their names."""
    kinds = {
        folder.name: sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)
        for folder in sorted(root.iterdir())
        if folder.is_dir()
    }
    kinds = {kind: paths for kind, paths in kinds.items() if paths}
    if not kinds:
        raise SystemExit(f"{root} holds no <kind>/<image>: write it with `python -m rsmoe_eval foreign --out {root}`")
    return kinds
