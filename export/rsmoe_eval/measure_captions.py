"""Captions of the validation images, their template rows, objects and themes."""

from __future__ import annotations

from rsmoe_train.data import Sample

from .annotators import agreement
from .asked import classifier
from .captions import Scorer, copies, mean_length
from .objects import object_scores, truth
from .runtime import Runtime, expert, require, said
from .splits import Data
from .themes import theme_accuracy

EXPERTS = ("theme", "objects", "relationship")
CLASSIFIER, TRUE = "template, classifier", "template, true class"
WHOLE = ("brief", "full", CLASSIFIER, TRUE)  # rows that are meant as captions


def texts_of(data: Data, runtime: Runtime, source: str) -> tuple[dict[str, list[str]], dict[str, float]]:
    """Row name -> a text for each chosen image of the source; and the accuracies of the scene class.

    The classifier is the runtime's answer to the theme question among the source's classes. An image whose class is
    unknown takes the classifier's in the true-class template too.
    """
    samples = data.chosen[source]
    paths = [sample.path for sample in samples]
    brief = require(runtime.captions(paths, "brief"), "brief captions")
    full = require(runtime.captions(paths, "full"), "full captions")
    rows, scene_of = classifier(data, source)
    answers = require(runtime.answers([row.request for row in rows]), "theme questions")
    guesses = [scene_of[said(record)] for record in answers]
    texts = {"brief": [r["caption"] for r in brief], "full": [r["caption"] for r in full]}
    texts |= {name: [expert(record, name) for record in full] for name in EXPERTS}
    texts[CLASSIFIER] = [data.templates[source, scene] for scene in guesses]
    texts[TRUE] = [
        data.templates[source, sample.scene or scene] for sample, scene in zip(samples, guesses, strict=True)
    ]
    known = [i for i, sample in enumerate(samples) if sample.scene is not None]
    themes = theme_accuracy([(samples[i].scene or "", texts["theme"][i]) for i in known])
    themes |= {"chosen": sum(guesses[i] == samples[i].scene for i in known) / len(known), "images": len(known)}
    return texts, themes


def measure(data: Data, runtime: Runtime, java: bool = True) -> dict:
    """source -> {"images", "rows": row name -> scores, "themes", "annotators": row name -> scores}.

    Where some images have no known class, "known class" holds the same of those that have one: the template with the
    true class is one for them only.
    """
    result: dict = {}
    for source, samples in data.chosen.items():
        texts, themes = texts_of(data, runtime, source)
        result[source] = {"images": len(samples), "rows": rows_of(data, samples, texts, java), "themes": themes}
        result[source]["annotators"] = agreement(data, samples, {name: texts[name] for name in ("brief", "full")})
        known = [i for i, sample in enumerate(samples) if sample.scene is not None]
        if 0 < len(known) < len(samples):
            some = {name: [told[i] for i in known] for name, told in texts.items()}
            rows = rows_of(data, [samples[i] for i in known], some, java)
            result[source]["known class"] = {"images": len(known), "rows": rows}
    return result


def rows_of(data: Data, samples: list[Sample], texts: dict[str, list[str]], java: bool) -> dict[str, dict]:
    """Row name -> scores of one text for each sample."""
    scorer = Scorer([sample.captions for sample in samples])
    truths = [truth(sample.captions, data.labels(sample)) for sample in samples]
    rows = scorer.scores({name: texts[name] for name in WHOLE}, java)
    for name, told in texts.items():
        scores = {"words": mean_length(told), "copies": copies(told, data.sentences)}
        scores |= scorer.matched(told) if name in WHOLE else {}
        rows[name] = rows.get(name, {}) | scores | object_scores(told, truths)
    return rows


def compare(data: Data, runtimes: list[Runtime], java: bool = True) -> dict:
    """variant -> source -> CIDEr of the brief captions with its standard error, and how often the theme is named."""
    result: dict = {}
    for runtime in runtimes:
        result[runtime.variant] = {}
        for source, samples in data.chosen.items():
            texts, themes = texts_of(data, runtime, source)
            scorer = Scorer([sample.captions for sample in samples])
            scores = scorer.scores({"brief": texts["brief"]}, java)["brief"]
            kept = {key: scores[key] for key in ("CIDEr", "CIDEr s.e.")}
            result[runtime.variant][source] = kept | {"theme named": themes["named"], "theme chosen": themes["chosen"]}
    return result
