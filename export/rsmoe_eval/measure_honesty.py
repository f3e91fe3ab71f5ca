"""Confidence on empty and foreign images against that on the validation images."""

from __future__ import annotations

from pathlib import Path

from . import foreign
from .answers import NOT_SURE
from .honesty import PROBES, separation
from .runtime import Runtime, require
from .splits import Data, spread


def measure(data: Data, runtime: Runtime, root: Path, limit: int | None = None) -> dict:
    """{"images": .., "AUROC": confidence -> kind -> value, "not sure": probe -> kind -> share}.

    "validation" is a kind too.

    `root` holds `<kind>/<image>`; the generated images are written there if it does not exist.
    """
    if not root.exists():
        foreign.generate(root)
    kinds = {kind: spread(paths, limit) for kind, paths in foreign.listed(root).items()}
    inside = [sample.path for samples in data.chosen.values() for sample in samples]
    groups = {"validation": inside} | kinds
    result: dict = {"images": {kind: len(paths) for kind, paths in groups.items()}, "AUROC": {}, "not sure": {}}
    result["mean confidence"] = {}
    for style in ("brief", "full"):
        records = {
            kind: require(runtime.captions(paths, style), f"captions of {kind}") for kind, paths in groups.items()
        }
        for what in ("confidence", "familiarity"):
            if any(what not in record or record[what] is None for some in records.values() for record in some):
                continue
            values = {kind: [record[what] for record in some] for kind, some in records.items()}
            name = what if what == "familiarity" else f"{style} confidence"
            result["mean confidence"][name] = {kind: sum(some) / len(some) for kind, some in values.items()}
            result["AUROC"][name] = separation(values.pop("validation"), values)
    for probe in PROBES:
        shares = {}
        for kind, paths in groups.items():
            answers = require(runtime.answers([{"input": str(path)} | probe for path in paths]), f"questions on {kind}")
            shares[kind] = sum(record["answer"] == NOT_SURE for record in answers) / len(answers)
        total = sum(len(paths) for paths in kinds.values())
        shares["all"] = sum(shares[kind] * len(paths) for kind, paths in kinds.items()) / total
        result["not sure"][str(probe["question"])] = shares
    return result
