"""What an image and those most like it agree on: what a sentence is worth, which objects are there, which sentences fit
best (after Devlin et al. 2015, "Exploring nearest neighbor approaches for image captioning").

An annotator's sentence says what one person found worth a word, and five of them are few to agree. What an image's
neighbours have in common is what can be known of an image that nobody has described.
"""

from __future__ import annotations

import collections
import functools
import re
from collections.abc import Callable, Iterable

from rsmoe_eval.cider import Corpus

from . import data
from .data import Sample
from .neighbours import Around
from .questions import NUMBERS
from .targets import LISTED, Noun, Seen, lexicon, mentions

OBJECTS = {"rsicd": 4.0, "ucm": 12.0}  # object F1 against CIDEr-D, which is about 1 on RSICD and 4 on UCM
# Share of the image and its neighbours that name an object which an expert is to name. For the validation images, by
# their neighbours alone, objects from .6 on have precision .863 and recall .466 (RSICD), .888 and .783 (UCM).
SURE = 0.6
CANDIDATES = 150  # of the neighbours' sentences, the commonest
RELATED = 10  # of these, when they have a spatial relation and name nothing that is not sure
REMEMBERED = 1 << 19  # pairs of sentences whose CIDEr-D is kept
COUNTED = re.compile(r"\b(" + "|".join(NUMBERS[1:]) + r")\b")


def nouns(captions: Iterable[str]) -> frozenset[Noun]:
    """Every noun of the lexicon that any of the captions names."""
    return frozenset(noun for caption in captions for noun in mentions(caption))


def numbers(captions: Iterable[str]) -> frozenset[str]:
    """Number words from two to ten."""
    return frozenset(word for caption in captions for word in COUNTED.findall(caption.lower()))


def overlap(named: frozenset[Noun], wanted: frozenset[Noun]) -> float:
    """F1 of two sets of nouns; 0 when both are empty."""
    return 2 * len(named & wanted) / max(len(named) + len(wanted), 1)


class Agreement:
    """Knows images by their row numbers."""

    def __init__(self, samples: list[Sample], around: dict[int, Around]) -> None:
        self._samples, self._around = samples, around
        train = [s for s in samples if s.split == "train" and not data.mislabelled(s) and data.varied(s)]
        self._similarity: dict[str, Callable[[str, str], float]] = {
            source: functools.lru_cache(REMEMBERED)(
                Corpus([s.captions for s in train if s.source == source]).similarity
            )
            for source in sorted({s.source for s in train})
        }
        self._said: dict[int, list[tuple[str, float]]] = {}
        self._nouns: dict[int, dict[Noun, bool]] = {}

    def said(self, row: int) -> list[tuple[str, float]]:
        """The different captions of an image and its neighbours, and how much each counts; together 1."""
        if row not in self._said:
            sums: dict[str, float] = collections.defaultdict(float)
            for of, weight in self._around[row]:
                captions = self._samples[of].captions
                for caption in captions:
                    sums[caption] += weight / len(captions)
            self._said[row] = list(sums.items())
        return self._said[row]

    def _named(self, row: int) -> dict[Noun, bool]:
        """Nouns of an image's captions -> whether at least half of those that name it speak of several."""
        if row not in self._nouns:
            votes = collections.defaultdict(list)
            for caption in self._samples[row].captions:
                for noun, several in mentions(caption).items():
                    votes[noun].append(several)
            self._nouns[row] = {noun: 2 * sum(each) >= len(each) for noun, each in votes.items()}
        return self._nouns[row]

    def cider(self, text: str, row: int) -> float:
        """CIDEr-D against the image and its neighbours, their weighted mean."""
        similarity = self._similarity[self._samples[row].source]
        return sum(weight * similarity(text, other) for other, weight in self.said(row))

    def objects(self, text: str, row: int) -> float:
        """Object F1 against the image and its neighbours, their weighted mean."""
        named = nouns([text])
        return sum(weight * overlap(named, frozenset(self._named(of))) for of, weight in self._around[row])

    def worth(self, text: str, row: int) -> float:
        """Both together, weighted by OBJECTS."""
        return self.cider(text, row) + OBJECTS[self._samples[row].source] * self.objects(text, row)

    def _candidates(self, row: int) -> list[str]:
        """Sentences that may be agreed on: the image's own, and the commonest of its neighbours. Those may count
        only as its own do: that three of four such images show two courts says nothing about the fourth.
        """
        own = dict.fromkeys(self._samples[row].captions)
        counted = numbers(own)
        others = sorted((pair for pair in self.said(row) if pair[0] not in own), key=lambda pair: -pair[1])
        return [*own, *[text for text, _ in others if numbers([text]) <= counted][:CANDIDATES]]

    def sentence(self, row: int) -> str:
        """Of what was said about the image and its neighbours the sentence that agrees best with all of it."""
        return max(self._candidates(row), key=lambda text: self.worth(text, row))

    def shares(self, row: int) -> dict[Noun, float]:
        """Weighted share of the image and its neighbours that name each noun."""
        found: dict[Noun, float] = collections.defaultdict(float)
        for of, weight in self._around[row]:
            for noun in self._named(of):
                found[noun] += weight
        return found

    def seen(self, row: int) -> list[Seen]:
        """Objects that SURE of the image and its neighbours name, most agreed first; places if there are no others, and
        the surest alone if none is sure.
        """
        shares = self.shares(row)
        several: dict[Noun, float] = collections.defaultdict(float)
        for of, weight in self._around[row]:
            for noun, many in self._named(of).items():
                several[noun] += weight * many
        ranked = sorted(shares, key=lambda noun: (-shares[noun], noun.name))
        sure = [noun for noun in ranked if shares[noun] >= SURE]
        chosen = [noun for noun in sure if not noun.place] or sure or ranked[:1]
        return [Seen(noun, 2 * several[noun] >= shares[noun]) for noun in chosen[:LISTED]]

    def related(self, row: int) -> str:
        """Of the sentences with a spatial relation (of all, if there is none) the one that agrees best, among those
        with the fewest nouns that are not sure.
        """
        candidates, shares = self._candidates(row), self.shares(row)
        related = [text for text in candidates if lexicon().relations.search(text.lower())] or candidates
        doubts = [sum(shares[noun] < SURE for noun in mentions(text)) for text in related]
        fewest = min(doubts)
        surest = [text for text, count in zip(related, doubts, strict=True) if count == fewest]
        return max(surest[:RELATED], key=lambda text: self.worth(text, row))
