"""The validation splits with their references, labels and the facts of the training part that templates need."""

from __future__ import annotations

import collections
import functools
from dataclasses import dataclass
from pathlib import Path

from rsmoe_train import data, targets
from rsmoe_train.data import Question, Sample

from .captions import normalised
from .runtime import read_jsonl

SOURCES = ("ucm", "rsicd")
CLASSES = {"ucm": data.UCM_CLASSES, "rsicd": data.RSICD_CLASSES}


@dataclass(frozen=True)
class Data:
    """All samples, and those to be scored."""

    root: Path
    samples: list[Sample]
    chosen: dict[str, list[Sample]]  # source -> validation samples, in a fixed order

    @functools.cached_property
    def training(self) -> list[Sample]:
        """The samples of the training part."""
        return [sample for sample in self.samples if sample.split == "train"]

    @functools.cached_property
    def sentences(self) -> set[str]:
        """Training captions, normalised."""
        return {normalised(text) for sample in self.training for text in sample.captions}

    @functools.cached_property
    def templates(self) -> dict[tuple[str, str], str]:
        """(source, scene class) -> its commonest training caption, as a sentence; the first in the data wins ties."""
        common: dict[tuple[str, str], collections.Counter[str]] = collections.defaultdict(collections.Counter)
        for sample in self.training:
            if sample.scene is not None:
                common[sample.source, sample.scene].update(targets.tidy(text) for text in sample.captions)
        return {key: texts.most_common(1)[0][0] for key, texts in common.items()}

    @functools.cached_property
    def questions(self) -> dict[str, list[Question]]:
        """RSIVQA's questions about each UCM image, the validation part included: file name -> rows."""
        found: dict[str, list[Question]] = collections.defaultdict(list)
        for row in read_jsonl(self.root / "ucm" / "vqa.jsonl"):
            found[row["image"]].append(Question(row["question"], row["answer"]))
        return found

    def labels(self, sample: Sample) -> list[str]:
        """What is known of an image beside its captions: its class, and objects that RSIVQA's answers confirm."""
        told = [sample.theme] if sample.theme else []
        for question in self.questions[sample.path.name] if sample.source == "ucm" else ():
            if question.answer not in ("no", "zero", "i cannot see it"):
                told.append(question.text.lower().split("location of")[-1] + " " + question.answer)
        return told


def spread(samples: list[Sample], limit: int | None) -> list[Sample]:
    """All samples, or `limit` of them at even steps, so that every class is among them."""
    if limit is None or limit >= len(samples):
        return samples
    return [samples[i * len(samples) // limit] for i in range(limit)]


def load(root: Path, limit: int | None = None) -> Data:
    """The samples of `root`; `limit` validation images of each source."""
    samples = data.load(root)
    chosen = {name: [s for s in samples if s.source == name and s.split == "val"] for name in SOURCES}
    empty = [name for name, some in chosen.items() if not some]
    if empty:
        raise SystemExit(f"{root} has no validation images of {', '.join(empty)}")
    return Data(root, samples, {name: spread(some, limit) for name, some in chosen.items()})
