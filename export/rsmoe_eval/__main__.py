"""`python -m rsmoe_eval CAPTIONS.jsonl --references REFERENCES.jsonl`: one table, or JSON with --json.

CAPTIONS.jsonl is what `rsmoe caption --jsonl` printed (brief or full). REFERENCES.jsonl has one object a line,
`{"image": file name, "captions": [five sentences], "class"?: scene class}`; rows are joined by the input's file name.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

from .captions import caption_scores
from .themes import theme_accuracy


def read_jsonl(path: Path) -> list[dict]:
    """One object a line; empty lines are passed over."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def score(records: list[dict], references: list[dict], with_captions: bool) -> dict:
    """Joins captions with references by file name and scores them. A reference without a caption is an error."""
    failed = [record["input"] for record in records if "error" in record]
    said = {Path(record["input"]).name: record for record in records if "error" not in record}
    missing = [row["image"] for row in references if row["image"] not in said]
    if failed or missing:
        some = (failed + missing)[:3]
        raise SystemExit(f"{len(failed)} inputs failed, {len(missing)} references have no caption, such as {some}")
    pairs = [(row, said[row["image"]]) for row in references]
    result: dict = {"images": len(pairs)}
    if with_captions:
        result |= caption_scores([(row["captions"], record["caption"]) for row, record in pairs])
    themes = [
        (row["class"], next((expert["text"] for expert in record["experts"] if expert["name"] == "theme"), ""))
        for row, record in pairs
        if "class" in row and record["experts"]
    ]
    if themes:
        result |= theme_accuracy(themes)
    result["ms_median"] = statistics.median(record["ms"] for _, record in pairs)
    result["model"] = pairs[0][1]["model"]
    return result


def main() -> None:
    """The command line."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="rsmoe_eval", description=__doc__, formatter_class=raw)
    parser.add_argument("captions", type=Path)
    parser.add_argument("--references", type=Path, required=True)
    parser.add_argument("--no-captions", action="store_true", help="score themes only (needs no Java)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    result = score(read_jsonl(args.captions), read_jsonl(args.references), not args.no_captions)
    if args.json:
        json.dump(result, sys.stdout, indent=2)
        print()
        return
    for name, value in result.items():
        print(f"{name:24} {value:.3f}" if isinstance(value, float) else f"{name:24} {value}")


if __name__ == "__main__":
    main()
