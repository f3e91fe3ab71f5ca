"""Command line. `python -m rsmoe_train run --data DIR --work DIR --out DIR` does all; each stage also runs alone.

Interrupted stages continue from their checkpoints in the working directory; a finished stage is passed over.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from . import data, ranges

# Optimiser steps of each stage when nothing else is said; about 90, 38, 55 and 36 minutes on two cores that have bf16.
STEPS = {"vision": 2870, "stage1": 1300, "selfcritical": 430, "stage2": 1100}
STAGES = ("vision", "familiarity", "stage1", "selfcritical", "stage2", "reference", "save", "sample", "ranges")


def stage(name: str, root: Path, work: Path, out: Path, minutes: float | None) -> None:
    """Runs one stage."""
    if name == "ranges":  # the others need torch
        ranges.run(root, out)
        return
    from . import familiarity, model, reference, sample, save, selfcritical, stage1, stage2, vision
    from .loop import Limit

    limit = Limit(minutes=minutes) if minutes else Limit(steps=STEPS.get(name))
    todo: dict[str, Callable[[], None]] = {
        "vision": lambda: vision.run(root, work, limit),
        "familiarity": lambda: familiarity.run(root, work),
        "stage1": lambda: stage1.run(root, work, out, limit),
        "selfcritical": lambda: selfcritical.run(root, work, out, limit),
        "stage2": lambda: stage2.run(root, work, out, limit),
        "reference": lambda: reference.run(root, work, out),
        "save": lambda: save.write(work, out, model.language(work, data.load(root)).shape),
        "sample": lambda: sample.run(root, work, out),
    }
    todo[name]()


def arguments() -> argparse.Namespace:
    """The parsed command line."""
    parser = argparse.ArgumentParser(prog="rsmoe_train", description="Training of rsmoe-mini.")
    parser.add_argument("stage", choices=("run", *STAGES, "ablation", "restore"), help="`run` does all stages in order")
    parser.add_argument("--data", type=Path, help="directory with rsicd/ and ucm/; `restore` needs none")
    parser.add_argument("--work", type=Path, required=True, help="caches and checkpoints (about 4 GB)")
    parser.add_argument("--out", type=Path, default=Path("models/rsmoe-mini/trained"), help="weight files")
    parser.add_argument("--minutes", type=float, help="wall-clock limit of a single stage, instead of its steps")
    varied = parser.add_argument_group("ablation")
    varied.add_argument("--arm", help="the variant; `ablation.py` lists them")
    varied.add_argument("--steps", type=int, default=200, help="optimiser steps (%(default)s)")
    parser.add_argument("--source", type=Path, help="weight files that `ablation` and `restore` start from")
    options = parser.parse_args()
    if options.data is None and options.stage != "restore":
        parser.error(f"{options.stage} needs --data")
    if options.minutes and options.stage not in STEPS:
        parser.error(f"--minutes goes with one of {', '.join(STEPS)}")
    if options.stage == "ablation" and options.arm is None:
        parser.error("ablation needs --arm")
    if options.stage in ("ablation", "restore") and options.source is None:
        parser.error(f"{options.stage} needs --source")
    return options


def main() -> None:
    """Runs what the command line asks for."""
    options = arguments()
    options.work.mkdir(parents=True, exist_ok=True)
    if options.stage == "ablation":
        from . import ablation
        from .loop import Limit

        places = (options.data, options.work, options.source, options.out)
        ablation.run(options.arm, *places, Limit(steps=options.steps))
    elif options.stage == "restore":
        from . import restore

        restore.run(options.work, options.source)
    elif options.stage == "run":
        for name in STAGES:
            stage(name, options.data, options.work, options.out, None)
    else:
        stage(options.stage, options.data, options.work, options.out, options.minutes)


if __name__ == "__main__":
    main()
