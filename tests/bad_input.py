"""Runs a corpus of broken and hostile files through `caption`, `ask` and `scene`, and checks what a user may expect.

    python tests/bad_input.py CORPUS --rsmoe target/release/rsmoe --model models/rsmoe-mini

CORPUS holds `corpus.tsv`: a line for each file with path, bytes, source, what is wrong, what must happen. Of every
file: no signal, no panic, at most 10 s and 1.5 GB for the program and its reader together, an exit code of the
contract, an error that names the file, the cause and the next step, and the outcome that its line asks for. Prints a
table; exit code 0 if all hold, 1 if not. Needs Linux (/proc) and no packages.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import fnmatch
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

MOST_BYTES = 1.5e9
# How often memory is looked at. A peak of the program itself is not missed (VmHWM), one of a reader may be.
SAMPLE_S = 0.01
# Exit codes of the contract.
DONE, USAGE, IN_PART, UNREADABLE = 0, 2, 3, 4

QUESTION = "Is there water?"
ALL = ("caption", "ask", "scene")


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a line of the corpus asks for."""

    # Exit codes that will do: of `caption` and `ask`, and of `scene`.
    picture: frozenset[int]
    scene: frozenset[int]
    # Words that the error or a tile's reason must hold.
    names: str = ""
    # No tile may be captioned.
    without_captions: bool = False


def rule(picture: set[int], scene: set[int] | None = None, **more: object) -> Rule:
    return Rule(frozenset(picture), frozenset(picture if scene is None else scene), **more)


# The words of the corpus. To ask which of many bands are red, green and blue is an answer to "handle" too.
HANDLE = rule({DONE, USAGE})
REFUSE = rule({UNREADABLE})
EITHER = rule({DONE, UNREADABLE}, {DONE, IN_PART, UNREADABLE})
RULES = {
    "400": REFUSE,
    "400 (remote/file URLs off by default)": REFUSE,
    "decode-or-clear-error": EITHER,
    "detect or per-tile error, never crash": EITHER,
    "handle": HANDLE,
    "must stay disabled": REFUSE,
    "one tile, padded": HANDLE,
    "per-tile error": rule({DONE, UNREADABLE}, {IN_PART, UNREADABLE}),
    "per-tile error naming the missing source": rule({UNREADABLE}, {IN_PART, UNREADABLE}, names="nope.tif"),
    "refuse: offline mode": REFUSE,
    "reject": REFUSE,
    "reject by limit": REFUSE,
    "reject by pixel limit before decode": REFUSE,
    "reject or partial with per-tile error": rule({DONE, UNREADABLE}, {IN_PART, UNREADABLE}),
    "reject-or-degrade": EITHER,
    "skip tiles, exit 0 with 0 captions": rule({UNREADABLE}, {DONE}, without_captions=True),
    "warn, no WGS84 geometry": HANDLE,
}

# Files of which the corpus holds a part only, or with nothing to see: a clear error is the way to handle them.
NOTHING_THERE = rule({UNREADABLE}, {DONE, UNREADABLE})
EXCEPTIONS = {
    # Half of its only block is gone.
    "geo_edge/gdal__114p01_0100_deme_truncated.dem": rule({DONE, UNREADABLE}, {DONE, IN_PART, UNREADABLE}),
    "geo_edge/rasterio__all-nodata.tif": NOTHING_THERE,
    # Their sources are not in the corpus.
    "geo_edge/rasterio__RGB.byte.gcp.vrt": NOTHING_THERE,
    "geo_edge/rasterio__compdcs.vrt": NOTHING_THERE,
}
# Side of the tiles of `scene`, pixels: the corpus is about reading, and not about many tiles.
TILE = "512"


@dataclasses.dataclass
class Run:
    """One command over one file."""

    code: int | None
    seconds: float
    peak_bytes: int
    stdout: str
    stderr: str


def resident_bytes(pid: int, field: str) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(field)), 0)


def children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:
            continue
    return found


def run(command: list[str], longest_s: float) -> Run:
    start = time.monotonic()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = subprocess.Popen(command, stdout=out, stderr=err, env={**os.environ, "NO_COLOR": "1"})
        peak, timer = 0, threading.Event()
        while child.poll() is None and time.monotonic() - start < 2 * longest_s:
            readers = sum(resident_bytes(pid, "VmRSS") for pid in children(child.pid))
            peak = max(peak, resident_bytes(child.pid, "VmHWM") + readers)
            timer.wait(SAMPLE_S)
        code = child.poll()
        if code is None:
            child.kill()
            child.wait()
        seconds = time.monotonic() - start
        out.seek(0)
        err.seek(0)
        return Run(code, seconds, peak, out.read(), err.read())


def faults(name: str, file: Path, asked: Rule, found: Run, out: Path, longest_s: float) -> list[str]:
    """What a user would complain of."""
    wrong = []
    if found.code is None:
        wrong.append("does not end")
    elif found.code < 0 or found.code >= 128:
        wrong.append(f"ends by signal {-found.code if found.code < 0 else found.code - 128}")
    elif found.code not in (asked.scene if name == "scene" else asked.picture):
        wrong.append(f"exit code {found.code}")
    if "panicked" in found.stderr:
        wrong.append("panic")
    if found.seconds > longest_s:
        wrong.append(f"{found.seconds:.1f} s")
    if found.peak_bytes > MOST_BYTES:
        wrong.append(f"{found.peak_bytes / 1e9:.2f} GB")
    tiles = tiles_of(out) if name == "scene" else []
    reasons = [tile["reason"] for tile in tiles if tile["status"] != "captioned"]
    if name == "scene" and asked.without_captions and any(tile["status"] == "captioned" for tile in tiles):
        wrong.append("captions")
    if not all(reasons):
        wrong.append("a tile without a reason")
    if found.code in (USAGE, IN_PART, UNREADABLE):
        wrong += faults_of_message(file, found, name)
        told = found.stderr + found.stdout + " ".join(reasons)
        if asked.names not in told:
            wrong.append(f"the error does not name {asked.names!r}")
    return wrong


def faults_of_message(file: Path, found: Run, name: str) -> list[str]:
    """The file, the cause, the next step: on stderr, or in the JSON line of an input."""
    if name != "scene" and found.code != USAGE:
        record = json.loads(found.stdout.splitlines()[0]) if found.stdout.strip() else {}
        error = record.get("error") or {}
        message, hint = error.get("message", ""), error.get("hint")
    else:
        message, hint = found.stderr, "hint: " in found.stderr
    wrong = []
    if file.name not in message:
        wrong.append("the error does not name the file")
    elif not message.split(file.name, 1)[1].strip(": \n"):
        wrong.append("the error names no cause")
    if not hint:
        wrong.append("no hint")
    return wrong


def tiles_of(out: Path) -> list[dict]:
    if not out.exists():
        return []
    return [json.loads(line)["properties"] for line in out.read_text().splitlines()]


def command_of(name: str, program: list[str], file: Path, out: Path) -> list[str]:
    match name:
        case "caption":
            return [*program, "caption", "--jsonl", str(file)]
        case "ask":
            return [*program, "ask", "--jsonl", str(file), QUESTION, "--choices", "yes,no"]
        case _:
            return [*program, "scene", str(file), "--out", str(out), "--tile-size", TILE]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--rsmoe", type=Path, required=True, help="the program")
    parser.add_argument("--model", type=Path, required=True, help="a model package")
    parser.add_argument("--only", default="*", help="a pattern of files")
    parser.add_argument("--longest", type=float, default=10.0, help="seconds; more on a machine that does other work")
    parser.add_argument("--all-lines", action="store_true", help="print the lines that hold too")
    args = parser.parse_args()
    with (args.corpus / "corpus.tsv").open(newline="") as table:
        lines = [line for line in csv.DictReader(table, delimiter="\t") if fnmatch.fnmatch(line["file"], args.only)]
    program = [str(args.rsmoe.resolve()), "--model", str(args.model.resolve())]
    runs, broken, slowest, largest = 0, 0, 0.0, 0
    print(f"{'file':<72} {'command':<8} {'exit':>4} {'s':>5} {'MB':>6}  what is wrong")
    for line in lines:
        file = (args.corpus / line["file"]).resolve()
        asked = EXCEPTIONS.get(line["file"]) or RULES[line["what must happen"]]
        for name in ALL:
            with tempfile.TemporaryDirectory() as scratch:
                out = Path(scratch) / "out.geojsonl"
                found = run(command_of(name, program, file, out), args.longest)
                wrong = faults(name, file, asked, found, out, args.longest)
            runs, broken = runs + 1, broken + bool(wrong)
            slowest, largest = max(slowest, found.seconds), max(largest, found.peak_bytes)
            if wrong or args.all_lines:
                code = "-" if found.code is None else found.code
                figures = f"{code:>4} {found.seconds:>5.1f} {found.peak_bytes / 1e6:>6.0f}"
                print(f"{line['file']:<72} {name:<8} {figures}  {'; '.join(wrong)}", flush=True)
    print(
        f"{len(lines)} files, {runs} runs, {broken} with faults; "
        f"slowest {slowest:.1f} s, largest {largest / 1e6:.0f} MB"
    )
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
