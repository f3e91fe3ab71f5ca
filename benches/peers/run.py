"""Compares `rsmoe bench` with its peers on the same work: in turns, round by round, each in a fresh process.

A contestant that cannot run stands in the table with its reason.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contestants import CONTESTANTS, Contestant
from prepare import last_line
from table import markdown

HERE = Path(__file__).resolve().parent


@dataclass
class Result:
    """What a contestant did in all rounds."""

    rounds: list[dict[str, Any]] = field(default_factory=list)
    problem: str | None = None


def command(contestant: Contestant, options: argparse.Namespace) -> list[str]:
    """How one round of a contestant is started."""
    if contestant.module is None:
        globals_ = ["--model", str(options.model), "--variant", contestant.files, "--provider", "cpu"]
        globals_ += ["--speculation", options.speculation]
        work = ["bench", "--json", "--quiet", "--repeat", str(options.repeats)]
        work += ["--scene-side", str(options.scene_side)] if options.scene_side else []
        return [str(options.rsmoe.resolve()), *globals_, "--threads", str(options.threads), *work]
    arguments = ["--threads", options.threads, "--repeats", options.repeats, "--batches", options.batches]
    arguments += ["--scene-side", options.scene_side] if options.scene_side else []
    script = [sys.executable, str(HERE / "peer.py"), contestant.name, str(options.models)]
    return [*script, *map(str, arguments)]


def run_round(contestant: Contestant, options: argparse.Namespace) -> dict[str, Any]:
    """One process, its figures, and what the system says that it used."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(command(contestant, options), stdout=output, stderr=errors, text=True)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - started
        output.seek(0)
        errors.seek(0)
        if process.returncode != 0:
            raise RuntimeError(last_line(errors.read()) + f" (exit code {process.returncode})")
        text = output.read()
    figures = json.loads(text) if contestant.module is None else json.loads(text.strip().splitlines()[-1])
    figures = from_rsmoe(figures) if contestant.module is None else figures
    # rsmoe says what it held before it measured the memory's bandwidth, which takes a buffer of its own.
    figures["peak_rss_mib"] = figures.get("peak_rss_mib") or usage.ru_maxrss / 1024
    figures["cpu_share"] = (usage.ru_utime + usage.ru_stime) / wall / options.threads
    return figures


def from_rsmoe(report: dict[str, Any]) -> dict[str, Any]:
    """The figures that peers have, too: the language model alone; and those of the whole way."""
    one, scene = report["one"], report["scene"]
    beside = scene["share"]["vision"] + scene["share"]["reading"]
    work = report["work"]
    written = one["written_tokens_per_image"]
    return {
        "load_ms": report["load_ms"],
        "peak_rss_mib": report["peak_rss_mib"] + (report["reader_peak_rss_mib"] or 0),
        "first_caption_ms": report["first_caption_ms"],
        "first_token_ms": one["first_token_ms"]["median"],
        "one_ms": one["from_embeddings_ms"]["median"],
        "one_whole_ms": one["caption_ms"]["median"],
        "tokens_per_s": written / one["from_embeddings_ms"]["median"] * 1e3,
        "tiles_per_s": scene["tiles_per_s"]["median"] / max(1e-9, 1.0 - beside),
        "tiles_per_s_whole": scene["tiles_per_s"]["median"],
        "tiles_per_batch": scene["tiles_per_batch"],
        "notes": [
            f"{report['model']}, {work['image_tokens']} image tokens, {work['experts']} experts",
            "first token with vision encoder",
            report["rsmoe"],
        ],
    }


def compete(contestants: list[Contestant], options: argparse.Namespace) -> dict[str, Result]:
    """All rounds, the contestants taking turns in each."""
    problems_file = options.models / "problems.json"
    problems = json.loads(problems_file.read_text())["problems"] if problems_file.is_file() else {}
    results = {contestant.name: Result() for contestant in contestants}
    for number in range(options.rounds):
        for contestant in contestants:
            result = results[contestant.name]
            if result.problem:
                continue
            if contestant.files in problems:
                result.problem = f"not prepared: {problems[contestant.files]}"
                continue
            print(f"round {number + 1} of {options.rounds}: {contestant.name}", file=sys.stderr, flush=True)
            try:
                result.rounds.append(run_round(contestant, options))
            except (OSError, RuntimeError, ValueError, KeyError, IndexError, TypeError) as error:
                result.problem = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
                print(f"  {result.problem}", file=sys.stderr, flush=True)
    return results


def median_of(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the rounds; what is no number is taken from the last."""
    last = rounds[-1]
    numbers = [name for name, value in last.items() if isinstance(value, int | float)]
    return {**last, **{name: statistics.median(each[name] for each in rounds) for name in numbers}}


def machine() -> str:
    """One line about the machine."""
    name = ""
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return f"{platform.system()} {platform.machine()}, {name or 'unknown processor'}, {os.cpu_count()} cores"


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, help="directory that prepare.py wrote")
    parser.add_argument("--rsmoe", type=Path, default=HERE.parents[1] / "target/release/rsmoe")
    parser.add_argument("--model", type=Path, required=True, help="rsmoe's package of the same shape")
    parser.add_argument(
        "--speculation",
        choices=("on", "off"),
        default="off",
        help="of rsmoe; random weights repeat themselves",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3, help="measured repeats inside a round, after one not counted")
    parser.add_argument("--scene-side", type=int, help="tiles on a side of the scene, instead of the fixed work's")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--batches", default="1,4,16", help="tiles of a batch that a peer may choose from")
    parser.add_argument("--only", help="names of contestants, separated by commas")
    parser.add_argument("--out", type=Path, default=Path("peers"), help="writes OUT.md and OUT.json")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else [contestant.name for contestant in CONTESTANTS]
    unknown = set(names) - {contestant.name for contestant in CONTESTANTS}
    if unknown:
        parser.error(f"--only: unknown {', '.join(sorted(unknown))}")
    results = compete([contestant for contestant in CONTESTANTS if contestant.name in names], options)
    medians = {name: median_of(result.rounds) for name, result in results.items() if not result.problem}
    problems = {name: result.problem for name, result in results.items() if result.problem}
    conditions = f"{machine()}; {options.threads} threads; medians of {options.rounds} rounds"
    text = markdown(conditions, medians, problems)
    options.out.with_suffix(".md").write_text(text, encoding="utf-8")
    raw = {"conditions": conditions, "medians": medians, "problems": problems}
    raw["rounds"] = {name: result.rounds for name, result in results.items()}
    options.out.with_suffix(".json").write_text(json.dumps(raw, indent=2) + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
