"""Questions by group and kind, beside the blind baselines; reliability; and the fit of the temperatures."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from . import calibration
from .answers import NOT_SURE, absolute_error, same
from .asked import KINDS, Asked, Group, groups
from .calibration import Outcome, Scored, Written
from .runtime import Runtime, expert, require, said
from .splits import Data
from .themes import names_class

SPLIT_SEED = 11
FITTED, HELD = "fitted half", "held half"


@dataclass
class Answered:
    """A question with what the runtime answered."""

    asked: Asked
    record: dict
    group: Group = field(repr=False)

    @property
    def right(self) -> bool:
        """As answered: "not sure" is not right."""
        return same(self.record["answer"], self.asked.truth)

    @property
    def right_if_pressed(self) -> bool:
        """As it would have been answered."""
        return same(said(self.record), self.asked.truth)


def answered(data: Data, runtime: Runtime, scored: frozenset[str]) -> list[Answered]:
    """Every question with its record."""
    rows = [(row, group) for group in groups(data, scored) for row in group.rows]
    records = require(runtime.answers([row.request for row, _ in rows]), "questions")
    return [Answered(row, record, group) for (row, group), record in zip(rows, records, strict=True)]


def accuracy(rows: list[Answered]) -> dict[str, float]:
    """Shares of right answers, of the model and of the blind baselines, and of answers that are "not sure"."""
    kinds = [same(row.group.blind.of_kind(row.asked.kind), row.asked.truth) for row in rows]
    texts = [same(row.group.blind.of_text(row.asked.kind, row.asked.question), row.asked.truth) for row in rows]
    return {
        "questions": len(rows),
        "right": sum(row.right for row in rows) / len(rows),
        "right if pressed": sum(row.right_if_pressed for row in rows) / len(rows),
        "not sure": sum(row.record["answer"] == NOT_SURE for row in rows) / len(rows),
        "blind, by kind": sum(kinds) / len(rows),
        "blind, by text": sum(texts) / len(rows),
    }


def errors(rows: list[Answered]) -> dict[str, float]:
    """Mean absolute errors of counts, as pressed; empty for other kinds."""
    truths = [row.asked.truth for row in rows]
    blind = [row.group.blind.of_text(row.asked.kind, row.asked.question) for row in rows]
    mine, theirs = absolute_error([said(row.record) for row in rows], truths), absolute_error(blind, truths)
    return {} if mine is None or theirs is None else {"error": mine, "blind error, by text": theirs}


def half(row: Asked) -> str:
    """Which half of the validation images a question's image is in (seeded, by its name)."""
    name = f"{SPLIT_SEED} {row.sample.source} {row.sample.path.name}"
    return FITTED if random.Random(name).random() < 0.5 else HELD


def measure(data: Data, runtime: Runtime, scored: frozenset[str]) -> dict:
    """{"groups": group -> kind -> figures, "overall": .., "reliability": ..}."""
    rows = answered(data, runtime, scored)
    table: dict = {}
    for row in rows:
        table.setdefault(row.asked.group, {}).setdefault(row.asked.kind, []).append(row)
    figures = {
        group: {
            kind: accuracy(kinds[kind]) | (errors(kinds[kind]) if kind == "count" else {})
            for kind in KINDS
            if kind in kinds
        }
        for group, kinds in table.items()
    }
    overall = {"all": accuracy(rows)}
    for origin in ("rsivqa", "derived"):
        some = [row for row in rows if row.asked.group.endswith(origin)]
        overall |= {origin: accuracy(some)} if some else {}
    chosen = [row for row in rows if row.record["choices"]]
    parts = {"all": chosen, HELD: [row for row in chosen if half(row.asked) == HELD]}
    parts |= {kind: [row for row in chosen if row.asked.kind == kind] for kind in KINDS}
    parts["free answers"] = [row for row in rows if not row.record["choices"]]
    table = {name: calibration.reliability([_outcome(row) for row in part]) for name, part in parts.items() if part}
    return {"groups": figures, "overall": overall, "reliability": table}


def _outcome(row: Answered) -> Outcome:
    return row.record["confidence"], row.right_if_pressed


def temperatures(package: Path) -> tuple[float, float]:
    """(choice, text) temperatures that a package already has; 1 where it names none."""
    manifest = yaml.safe_load((package / "manifest.yaml").read_text(encoding="utf-8"))
    found = (manifest.get("confidence") or {}).get("temperature") or {}
    return float(found.get("choice", 1.0)), float(found.get("text", 1.0))


def calibrate(data: Data, runtime: Runtime, scored: frozenset[str]) -> tuple[dict, dict]:
    """(the temperatures and `unsure_below` of `calibration.json`, figures before and after on both halves)."""
    choice_now, text_now = temperatures(runtime.package)
    choices: dict[str, list[Scored]] = {FITTED: [], HELD: []}
    texts: dict[str, list[Written]] = {FITTED: [], HELD: []}
    for row in answered(data, runtime, scored):
        record, part = row.record, half(row.asked)
        if record["choices"]:
            one = Scored.read(record["choices"], record.get("familiarity"), row.asked.truth, choice_now)
            choices[part] += [] if one is None else [one]
        else:
            right = row.right_if_pressed
            texts[part].append(Written.read(record["confidence"], record.get("familiarity"), right, text_now))
    for part, written in theme_texts(data, runtime, text_now):
        texts[part].append(written)
    for what, rows in (("scored choices", choices), ("texts", texts)):
        if not rows[FITTED]:
            raise SystemExit(f"no {what} in the half of the images that is fitted on: use more images (--limit)")
    choice = calibration.best_temperature(lambda value: calibration.choice_loss(choices[FITTED], value))
    text = calibration.best_temperature(lambda value: calibration.text_loss(texts[FITTED], value))

    def outcomes(part: str, one: float, other: float) -> dict[str, list[Outcome]]:
        return {"choices": [r.outcome(one) for r in choices[part]], "texts": [r.outcome(other) for r in texts[part]]}

    choice = calibration.where_it_helps(choice, lambda value: outcomes(FITTED, value, 1.0)["choices"])
    text = calibration.where_it_helps(text, lambda value: outcomes(FITTED, 1.0, value)["texts"])

    fitted = outcomes(FITTED, choice, text)
    threshold = calibration.unsure_below(fitted["choices"] + fitted["texts"])
    figures: dict = {"half fitted on": FITTED, "half kept apart": HELD}
    for name, one, other in (("at temperature 1", 1.0, 1.0), ("calibrated", choice, text)):
        for part in (FITTED, HELD):
            for what, some in outcomes(part, one, other).items():
                figures.setdefault(name, {}).setdefault(part, {})[what] = calibration.reliability(some)
    written = {"choice_temperature": choice, "text_temperature": text, "unsure_below": threshold}
    return written, figures


def theme_texts(data: Data, runtime: Runtime, temperature: float) -> list[tuple[str, Written]]:
    """(half, the theme expert's text) of each validation image with a known class."""
    found = []
    for source, samples in data.chosen.items():
        records = require(runtime.captions([sample.path for sample in samples], "full"), "full captions")
        for sample, record in zip(samples, records, strict=True):
            told = next((one for one in record["experts"] if one["name"] == "theme"), None)
            if sample.scene is None or told is None:
                continue
            right = names_class(expert(record, "theme"), sample.scene)
            written = Written.read(told["confidence"], record.get("familiarity"), right, temperature)
            found.append((half(Asked(source, "theme", sample, "", "")), written))
    return found
