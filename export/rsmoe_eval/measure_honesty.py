"""Confidence on empty and foreign images against that on the validation images."""

from __future__ import annotations

import itertools
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
    everything = [path for paths in groups.values() for path in paths]
    for style in ("brief", "full"):
        records = _by_kind(groups, require(runtime.captions(everything, style), "captions"))
        for what in ("confidence", "familiarity"):
            if any(record.get(what) is None for some in records.values() for record in some):
                continue
            values = {kind: [record[what] for record in some] for kind, some in records.items()}
            name = what if what == "familiarity" else f"{style} confidence"
            result["mean confidence"][name] = {kind: sum(some) / len(some) for kind, some in values.items()}
            result["AUROC"][name] = separation(values.pop("validation"), values)
    for probe in PROBES:
        requests = [{"input": str(path)} | probe for path in everything]
        answers = _by_kind(groups, require(runtime.answers(requests), "questions"))
        unsure = {kind: [record["answer"] == NOT_SURE for record in some] for kind, some in answers.items()}
        shares = {kind: sum(some) / len(some) for kind, some in unsure.items()}
        outside = [one for kind, some in unsure.items() if kind != "validation" for one in some]
        result["not sure"][str(probe["question"])] = shares | {"all": sum(outside) / len(outside)}
    return result


def _by_kind(groups: dict[str, list[Path]], records: list[dict]) -> dict[str, list[dict]]:
    """The records of all images, in the order of the groups, kind by kind."""
    rest = iter(records)
    return {kind: list(itertools.islice(rest, len(paths))) for kind, paths in groups.items()}
