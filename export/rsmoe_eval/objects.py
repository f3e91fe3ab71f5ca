"""Objects that a text names, against those that the references and labels have.

An object is a noun of the lexicon (`rsmoe_train/lexicon.yaml`, through `targets.mentions`): singular, plural and
synonyms are one noun. `wanted` are the nouns of all references of an image, `allowed` these and the nouns of its labels
(scene class, answers of RSIVQA). Over all images ("micro"):

    precision = named and wanted / named        recall = named and wanted / wanted
    hallucination rate = named, not allowed / named         (CHAIR_i of Rohrbach et al., EMNLP 2018)
    captions with a hallucination = share of texts that name any noun that is not allowed (CHAIR_s)
"""

from __future__ import annotations

from dataclasses import dataclass

from rsmoe_train.targets import Noun, mentions


@dataclass(frozen=True)
class Truth:
    """Nouns of one image."""

    wanted: frozenset[Noun]
    allowed: frozenset[Noun]


def truth(references: list[str], labels: list[str]) -> Truth:
    """The nouns of the references and of texts about labels ("dense residential area", "trees")."""
    wanted = frozenset(noun for text in references for noun in mentions(text))
    return Truth(wanted, wanted | {noun for text in labels for noun in mentions(text)})


def ratio(part: float, whole: float) -> float:
    """`part / whole`, 0 if there is nothing."""
    return part / whole if whole else 0.0


def object_scores(texts: list[str], truths: list[Truth]) -> dict[str, float]:
    """Precision, recall, F1 and hallucinations of one text for each image."""
    named = [frozenset(mentions(text)) for text in texts]
    hits = sum(len(nouns & one.wanted) for nouns, one in zip(named, truths, strict=True))
    invented = [len(nouns - one.allowed) for nouns, one in zip(named, truths, strict=True)]
    total, wanted = sum(map(len, named)), sum(len(one.wanted) for one in truths)
    return {
        "objects per caption": total / len(texts),
        "object precision": ratio(hits, total),
        "object recall": ratio(hits, wanted),
        "object F1": ratio(2 * hits, total + wanted),
        "hallucination rate": ratio(sum(invented), total),
        "hallucinations per caption": sum(invented) / len(texts),
        "captions with a hallucination": sum(map(bool, invented)) / len(texts),
    }
