"""Scores of any file of captions against any references, joined by file name."""

from __future__ import annotations

import statistics
from pathlib import Path

from .captions import Scorer, mean_length
from .objects import object_scores, truth
from .runtime import expert, read_jsonl, require
from .themes import theme_accuracy


def score(captions: Path, references: Path, java: bool = True) -> dict:
    """`captions`: what `rsmoe caption --jsonl` printed; `references`: lines of {"image", "captions", "class"?}.

    A reference without a caption is an error.
    """
    said = {Path(record["input"]).name: record for record in require(read_jsonl(captions), "inputs")}
    rows = read_jsonl(references)
    missing = [row["image"] for row in rows if row["image"] not in said]
    if missing:
        raise SystemExit(f"{captions}: no caption for {len(missing)} images of {references}, such as {missing[:3]}")
    records = [said[row["image"]] for row in rows]
    texts = [record["caption"] for record in records]
    scorer = Scorer([row["captions"] for row in rows])
    result: dict = {"model": records[0]["model"], "images": len(rows), "words": mean_length(texts)}
    result |= scorer.scores({"": texts}, java)[""] | scorer.matched(texts)
    result |= object_scores(texts, [truth(row["captions"], [row.get("class", "")]) for row in rows])
    pairs = [
        (row["class"], expert(record, "theme")) for row, record in zip(rows, records, strict=True) if "class" in row
    ]
    if pairs and any(record["experts"] for record in records):
        result["theme"] = theme_accuracy(pairs)
    result["ms_median"] = statistics.median(record["ms"] for record in records)
    return result
