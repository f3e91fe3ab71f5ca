"""Reads the caption and question files and says which image belongs to which split.

Images are numbered in one fixed order (RSICD, UCM training part, UCM validation part); that number is the
row of every cache in the working directory.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from pathlib import Path

from rsmoe_eval.cider import words

# The validation part of RSICD: images with as many different captions as its official test part has. Half of the
# images repeat one sentence five times, which rewards copying; on those of these whose class is known, the class's
# commonest caption scores CIDEr 0.90 (0.81 on the test part), so the figures can about be compared.
HELD_BACK_RSICD = {5: 240, 4: 160}  # different captions -> images
HELD_BACK_SEED = 20
VARIED = 3  # different captions of an image of RSICD

# Class names as people write them. Keys: RSICD file-name classes, then UCM `class` values.
RSICD_CLASSES: dict[str, str] = {
    "airport": "airport",
    "bareland": "bare land",
    "baseballfield": "baseball field",
    "beach": "beach",
    "bridge": "bridge",
    "center": "center",
    "church": "church",
    "commercial": "commercial area",
    "denseresidential": "dense residential area",
    "desert": "desert",
    "farmland": "farmland",
    "forest": "forest",
    "industrial": "industrial area",
    "meadow": "meadow",
    "mediumresidential": "medium residential area",
    "mountain": "mountain",
    "park": "park",
    "parking": "parking lot",
    "playground": "playground",
    "pond": "pond",
    "port": "port",
    "railwaystation": "railway station",
    "resort": "resort",
    "river": "river",
    "school": "school",
    "sparseresidential": "sparse residential area",
    "square": "square",
    "stadium": "stadium",
    "storagetanks": "storage tanks",
    "viaduct": "viaduct",
}
UCM_CLASSES: dict[str, str] = {
    "agricultural": "farmland",
    "airplane": "airplane",
    "baseballdiamond": "baseball diamond",
    "beach": "beach",
    "buildings": "buildings",
    "chaparral": "chaparral",
    "denseresidential": "dense residential area",
    "forest": "forest",
    "freeway": "freeway",
    "golfcourse": "golf course",
    "harbor": "harbor",
    "intersection": "intersection",
    "mediumresidential": "medium residential area",
    "mobilehomepark": "mobile home park",
    "overpass": "overpass",
    "parkinglot": "parking lot",
    "river": "river",
    "runway": "runway",
    "sparseresidential": "sparse residential area",
    "storagetanks": "storage tanks",
    "tenniscourt": "tennis court",
}


@dataclass(frozen=True)
class Question:
    """One row of a `vqa.jsonl`."""

    text: str
    answer: str


@dataclass
class Sample:
    """One image with everything written about it."""

    index: int
    path: Path
    source: str  # "rsicd" or "ucm"
    split: str  # "train" or "val"
    scene: str | None  # key of RSICD_CLASSES or UCM_CLASSES; None where it is unknown
    captions: list[str]
    questions: list[Question] = field(default_factory=list)

    @property
    def theme(self) -> str | None:
        """The readable scene class, or None when it is unknown."""
        if self.scene is None:
            return None
        return (RSICD_CLASSES if self.source == "rsicd" else UCM_CLASSES)[self.scene]

    @property
    def label(self) -> int:
        """Class number: 0..29 RSICD, 30..50 UCM, -100 (ignored by the loss) when unknown."""
        return -100 if self.scene is None else CLASS_KEYS.index((self.source, self.scene))


CLASS_KEYS: list[tuple[str, str]] = [("rsicd", k) for k in RSICD_CLASSES] + [("ucm", k) for k in UCM_CLASSES]


def _rows(path: Path) -> list[dict]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def _rsicd_scene(image: str, answer: str | None, captions: list[str]) -> str | None:
    """RSICD names most files `<class>_<n>.jpg`; numbered files take the theme answer of RSIVQA.

    RSIVQA's "playfields" merges playground, stadium and square: a playground is what most captions call one.
    """
    match = re.fullmatch(r"([a-z]+)_\d+\.jpg", image)
    if match and match.group(1) in RSICD_CLASSES:
        return match.group(1)
    if answer == "playfields":
        said = sum("playground" in caption.lower() for caption in captions)
        return "playground" if 2 * said > len(captions) else None
    return answer if answer in RSICD_CLASSES else None


def _held_back(rows: list[dict]) -> set[str]:
    """Names of the validation images of RSICD."""
    draw = random.Random(HELD_BACK_SEED)
    chosen: set[str] = set()
    for different, count in HELD_BACK_RSICD.items():
        names = sorted(row["image"] for row in rows if len(set(row["captions"])) == different)
        chosen.update(draw.sample(names, min(count, len(names))))
    return chosen


def load(root: Path) -> list[Sample]:
    """All samples under `root` (holding `rsicd/` and `ucm/`), in cache order."""
    rsicd_answers = {row["image"]: row["answer"] for row in _rows(root / "rsicd" / "vqa.jsonl")}
    ucm_questions: dict[str, list[Question]] = {}
    for row in _rows(root / "ucm" / "vqa.jsonl"):
        ucm_questions.setdefault(row["image"], []).append(Question(row["question"], row["answer"]))

    rsicd_rows = _rows(root / "rsicd" / "captions.jsonl")
    held_back = _held_back(rsicd_rows)
    samples: list[Sample] = []

    def add(row: dict, source: str, split: str, scene: str | None) -> None:
        path = root / source / "images" / row["image"]
        questions = ucm_questions.get(row["image"], []) if source == "ucm" and split == "train" else []
        samples.append(Sample(len(samples), path, source, split, scene, row["captions"], questions))

    for row in rsicd_rows:
        scene = _rsicd_scene(row["image"], rsicd_answers.get(row["image"]), row["captions"])
        add(row, "rsicd", "val" if row["image"] in held_back else "train", scene)
    for part, split in (("train", "train"), ("val", "val")):
        for row in _rows(root / "ucm" / f"captions_{part}.jsonl"):
            add(row, "ucm", split, row["class"])
    return samples


def evenly_spread(samples: list[Sample], count: int) -> list[Sample]:
    """So many training images, spread evenly over both sources, one of each in turn."""
    sources = [[s for s in samples if s.split == "train" and s.source == name] for name in ("rsicd", "ucm")]
    evenly = [part[:: max(len(part) // (count // 2), 1)][: count // 2] for part in sources]
    return [s for s in chain.from_iterable(zip_longest(*evenly)) if s is not None]


def mislabelled(sample: Sample) -> bool:
    """A few UCM images of other classes carry farmland captions."""
    text = " ".join(sample.captions).lower()
    return sample.source == "ucm" and sample.scene != "agricultural" and "piece of farmland" in text


def varied(sample: Sample) -> bool:
    """Whether an image has captions of several people; half of RSICD repeats one sentence five times."""
    return sample.source != "rsicd" or len({tuple(words(caption)) for caption in sample.captions}) >= VARIED


def training_rows(samples: list[Sample], ucm_repeats: int) -> list[int]:
    """Row numbers of one pass over the training part, UCM's images `ucm_repeats` times over."""
    rows = [s for s in samples if s.split == "train" and not mislabelled(s)]
    return [s.index for s in rows for _ in range(ucm_repeats if s.source == "ucm" else 1)]
