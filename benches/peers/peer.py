"""Runs one peer in this process and prints what it measured as a line of JSON; `run.py` starts it."""

from __future__ import annotations

import argparse
import importlib
import json
from dataclasses import replace
from pathlib import Path

from contestants import by_name
from work import Work, measure


def main() -> None:
    """Reads the command line of `run.py`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("models", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--repeats", type=int, required=True)
    parser.add_argument("--batches", required=True, help="tiles of a batch to choose from, such as 1,4,16")
    parser.add_argument("--scene-side", type=int, help="tiles on a side of the scene, instead of the fixed work's")
    options = parser.parse_args()
    contestant, work = by_name(options.name), Work.read()
    if options.scene_side:
        work = replace(work, scene_tiles=options.scene_side**2)
    batches = [int(tiles) for tiles in options.batches.split(",")]
    model = options.models / contestant.files

    def load() -> object:
        module = importlib.import_module(contestant.module)
        return module.load(model, options.threads, work, max(batches), **dict(contestant.arguments))

    print(json.dumps(measure(load, work, options.repeats, batches)), flush=True)


if __name__ == "__main__":
    main()
