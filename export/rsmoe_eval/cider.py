"""CIDEr-D between sentences, and a score for captions of several sentences.

`Corpus.similarity` is the term of one candidate and one reference in CIDEr-D (Vedantam et al., CVPR 2015), as
pycocoevalcap's `cider` computes it: its mean over the references is the caption's CIDEr.

CIDEr of a text of three sentences says little, since the length term exp(-(difference)^2 / 72) takes most of it. So
texts are matched sentence by sentence, greedily, as BERTScore (Zhang et al., ICLR 2020) does with tokens and SODA
(Fujita et al., ECCV 2020) with the events of a video:

    precision = mean over the text's sentences of the best similarity to a reference
    recall    = mean over the references of the best similarity to a sentence
    F         = 2 precision recall / (precision + recall)

Recall is fair to any length (for one sentence it is the text's CIDEr), and padding costs precision.
"""

from __future__ import annotations

import collections
import math
import re
from dataclasses import dataclass

ORDERS = 4  # n-grams of 1 to 4 words
SIGMA = 6.0  # of the length term, in words

Counts = collections.Counter[tuple[str, ...]]


def words(text: str) -> list[str]:
    """Words in lower case without punctuation: for these sets the same as the PTB tokenizer's."""
    return re.findall(r"[a-z0-9]+(?:[-'][a-z0-9]+)*", text.lower())


def sentences(text: str) -> list[str]:
    """The sentences of a text; lines end sentences too."""
    return [part.strip() for part in re.split(r"(?<=[.!?])\s+|\n", text) if words(part)]


def _ngrams(tokens: list[str]) -> Counts:
    return collections.Counter(
        tuple(tokens[i : i + n]) for n in range(1, ORDERS + 1) for i in range(len(tokens) - n + 1)
    )


@dataclass(frozen=True)
class _Vector:
    """Weights of the n-grams of each order, their norms, and the number of bigrams (pycocoevalcap's length)."""

    weights: list[dict[tuple[str, ...], float]]
    norms: list[float]
    length: int


class Corpus:
    """Document frequencies of n-grams over images: an n-gram counts once for an image, whichever references have it."""

    def __init__(self, references: list[list[str]]) -> None:
        self.frequency: Counts = collections.Counter()
        for texts in references:
            self.frequency.update({ngram for text in texts for ngram in _ngrams(words(text))})
        self.images = math.log(max(len(references), 1))
        self.vectors: dict[str, _Vector] = {}

    def _vector(self, text: str) -> _Vector:
        if text not in self.vectors:
            weights: list[dict[tuple[str, ...], float]] = [{} for _ in range(ORDERS)]
            tokens = words(text)
            for ngram, count in _ngrams(tokens).items():
                weights[len(ngram) - 1][ngram] = count * (self.images - math.log(max(self.frequency[ngram], 1)))
            norms = [math.sqrt(sum(value * value for value in order.values())) for order in weights]
            self.vectors[text] = _Vector(weights, norms, max(len(tokens) - 1, 0))
        return self.vectors[text]

    def similarity(self, candidate: str, reference: str) -> float:
        """0 to 10: the CIDEr-D of a candidate with one reference."""
        one, other = self._vector(candidate), self._vector(reference)
        length = math.exp(-((one.length - other.length) ** 2) / (2 * SIGMA**2))
        total = 0.0
        for mine, theirs, norm, their_norm in zip(one.weights, other.weights, one.norms, other.norms, strict=True):
            if norm and their_norm:
                product = sum(
                    min(value, theirs.get(ngram, 0.0)) * theirs.get(ngram, 0.0) for ngram, value in mine.items()
                )
                total += product / (norm * their_norm) * length
        return 10 * total / ORDERS

    def cider(self, caption: str, references: list[str]) -> float:
        """CIDEr-D of one caption, 0 to 10."""
        return sum(self.similarity(caption, reference) for reference in references) / len(references)

    def matched(self, text: str, references: list[str]) -> tuple[float, float, float]:
        """(precision, recall, F) of a text of several sentences, each 0 to 10."""
        table = [[self.similarity(part, reference) for reference in references] for part in sentences(text)]
        if not table:
            return 0.0, 0.0, 0.0
        precision = sum(max(row) for row in table) / len(table)
        recall = sum(max(column) for column in zip(*table, strict=True)) / len(references)
        return precision, recall, 2 * precision * recall / (precision + recall) if precision + recall else 0.0
