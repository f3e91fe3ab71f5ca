"""Command line. `python -m rsmoe_train run --data DIR --work DIR --out DIR` does all; each stage also runs alone.

Interrupted stages continue from their checkpoints in the working directory; a finished stage is passed over.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from . import familiarity, model, reference, save, selfcritical, stage1, stage2, vision
from .loop import Limit

STAGES = ("vision", "familiarity", "stage1", "selfcritical", "stage2", "reference", "save")
# Wall-clock minutes of each timed stage when nothing else is said.
MINUTES = {"vision": 25.0, "stage1": 40.0, "selfcritical": 25.0, "stage2": 15.0}


def one(stage: str, data: Path, work: Path, out: Path, minutes: float | None) -> None:
    """Runs one stage."""
    limit = MINUTES.get(stage, 0.0) if minutes is None else minutes
    if stage == "vision":
        vision.run(data, work, Limit(limit))
    elif stage == "familiarity":
        familiarity.run(data, work)
    elif stage == "stage1":
        stage1.run(data, work, out, Limit(limit))
    elif stage == "selfcritical":
        selfcritical.run(data, work, out, Limit(limit))
    elif stage == "stage2":
        stage2.run(data, work, out, Limit(limit))
    elif stage == "reference":
        reference.run(data, work, out)
    else:
        from . import data as samples

        save.write(work, out, model.language(work, samples.load(data)).shape)


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(prog="rsmoe_train", description="Two-stage training of rsmoe-mini.")
    parser.add_argument("stage", choices=("run", *STAGES), help="`run` does all stages in order")
    parser.add_argument("--data", type=Path, required=True, help="directory with rsicd/ and ucm/")
    parser.add_argument("--work", type=Path, required=True, help="caches and checkpoints (about 3 GB)")
    parser.add_argument("--out", type=Path, default=Path("models/rsmoe-mini/trained"), help="weight files")
    parser.add_argument(
        "--minutes", type=float, help="wall-clock limit of the stage; with `run`, of all stages together"
    )
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if options.stage != "run":
        one(options.stage, options.data, options.work, options.out, options.minutes)
        return
    scale = 1.0 if options.minutes is None else options.minutes / sum(MINUTES.values())
    for stage in STAGES[:-1]:
        one(stage, options.data, options.work, options.out, MINUTES.get(stage, 0.0) * scale or None)


if __name__ == "__main__":
    main()
