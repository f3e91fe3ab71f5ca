"""How well people agree with each other: what one annotator's sentence scores against the others' of the same image.

A text is scored against all references but one, each of them left out in turn, and the means over the turns are given.
"annotators" is the sentence that was left out; the other rows are what a model says, against the same references, so
that both have as many.
"""

from __future__ import annotations

import statistics

from rsmoe_train.data import Sample

from .captions import Scorer
from .objects import object_scores, truth
from .splits import Data

KEPT = ("object precision", "object recall", "object F1", "hallucination rate")


def agreement(data: Data, samples: list[Sample], texts: dict[str, list[str]]) -> dict[str, dict[str, float]]:
    """Row name -> CIDEr (without Java) and objects against all references but one; first of all "annotators".

    The turns are as many as the image with the fewest captions has; fewer than two give nothing.
    """
    turns = min(len(sample.captions) for sample in samples)
    if turns < 2:
        return {}
    rounds: dict[str, list[dict[str, float]]] = {}
    for turn in range(turns):
        others = [sample.captions[:turn] + sample.captions[turn + 1 :] for sample in samples]
        truths = [truth(many, data.labels(sample)) for many, sample in zip(others, samples, strict=True)]
        told = {"annotators": [sample.captions[turn] for sample in samples], **texts}
        plain = Scorer(others).plain_cider(told)
        for name, some in told.items():
            objects = object_scores(some, truths)
            scores = {"CIDEr": plain[name]["CIDEr"]} | {key: objects[key] for key in KEPT}
            rounds.setdefault(name, []).append(scores)
    return {
        name: {key: statistics.fmean(scores[key] for scores in each) for key in each[0]}
        for name, each in rounds.items()
    }
