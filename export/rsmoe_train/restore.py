"""Makes checkpoints out of weight files, so that a later stage or an ablation can start from a published package.

The files are float16 and hold no optimiser: what is restored can be built upon, not continued. Stage 1 and the
self-critical stage share their parameters; both are restored as the later one left them.
"""

from __future__ import annotations

import json
from pathlib import Path

from . import base, checkpoint, save


def run(work: Path, source: Path) -> None:
    """Writes the checkpoints of all stages before stage 2 from the weight files in `source`."""
    shape, _ = base.read()
    checkpoints(work, source, shape)


def checkpoints(work: Path, source: Path, shape: base.Shape) -> None:
    """The same, for a base of this shape."""
    if any((work / f"{name}.pt").exists() for name in save.STAGE_FILES):
        raise SystemExit(f"{work} has checkpoints already: restore into an empty directory")
    stages = json.loads((source / "training.json").read_text(encoding="utf-8"))["stages"]
    checkpoint.save(work / "vocabulary.pt", {"output_ids": save.shortlist(source)})
    connector = save.wide(source / "connector.safetensors")
    heads = {name: value for name, value in connector.items() if name.startswith(("classes.", "words."))}
    mean = {f"tower.{name}": value for name, value in save.wide(source / "tower.safetensors").items()}
    mean |= {f"heads.{name}": value for name, value in heads.items()}
    checkpoint.save(work / "vision.pt", {"mean": mean, **stages["vision"]})
    if (source / "familiarity.safetensors").exists():
        checkpoint.save(work / "familiarity.pt", save.wide(source / "familiarity.safetensors"))
    delta = {
        f"values.{name.replace('.', '_')}": value
        for name, value in save.wide(source / "base_delta.safetensors").items()
    }
    # a saved connector has its scale folded in
    state = {"delta": delta, "connector": connector, "connector_scale": 1.0}
    save.captioner(state, shape)  # fails if the files are of another shape
    for name in save.CAPTIONER:
        if stages.get(name):
            checkpoint.save(work / f"{name}.pt", {**state, **stages[name]})
