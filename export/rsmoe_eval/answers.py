"""Compares answers: normal form, numbers written as words, the blind baseline."""

from __future__ import annotations

import collections
import re
import statistics
from dataclasses import dataclass

NOT_SURE = "not sure"
_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_VALUES = {word: i for i, word in enumerate(_ONES)} | {word: 20 + 10 * i for i, word in enumerate(_TENS)}


def number(text: str) -> int | None:
    """The first number in a text, in digits or words below a thousand; None if there is none.

    "twenty-two" is 22, "about fifty" 50, "one hundred and five" 105.
    """
    value = None
    for word in re.findall(r"\d+|[a-z]+", text.lower()):
        if word.isdigit() and value is None:
            return int(word)
        if word in _VALUES:
            value = (value or 0) + _VALUES[word]
        elif word == "hundred" and value is not None:
            value *= 100
        elif value is not None and word != "and":
            break
    return value


def normal(text: str) -> str:
    """Lower case without punctuation and articles; numbers as digits."""
    words = [word for word in re.findall(r"[a-z0-9]+", text.lower()) if word not in ("a", "an", "the")]
    plain = " ".join(words)
    value = number(plain)
    counted = all(word in _VALUES or word in ("hundred", "and", "about") for word in words)
    return plain if value is None or not counted else str(value)


def same(answer: str, truth: str) -> bool:
    """Exact match of normal forms."""
    return normal(answer) == normal(truth)


@dataclass(frozen=True)
class Blind:
    """The commonest training answer of a kind of question, and of each question's own text, asked without an image."""

    kinds: dict[str, str]
    texts: dict[tuple[str, str], str]

    @classmethod
    def fit(cls, rows: list[tuple[str, str, str]]) -> Blind:
        """From the training part's rows (kind, question, answer)."""
        kinds: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        texts: dict[tuple[str, str], collections.Counter[str]] = collections.defaultdict(collections.Counter)
        for kind, question, answer in rows:
            kinds[kind][answer] += 1
            texts[kind, normal(question)][answer] += 1

        def best(counts: collections.Counter[str]) -> str:
            return min(counts, key=lambda answer: (-counts[answer], answer))

        return cls({k: best(c) for k, c in kinds.items()}, {k: best(c) for k, c in texts.items()})

    def of_kind(self, kind: str) -> str:
        """The answer by kind alone; empty if the training part has none."""
        return self.kinds.get(kind, "")

    def of_text(self, kind: str, question: str) -> str:
        """The answer by the question's text; by its kind where the text is new."""
        return self.texts.get((kind, normal(question)), self.of_kind(kind))


def absolute_error(answers: list[str], truths: list[str]) -> float | None:
    """Mean absolute error of counts; an answer without a number counts as 0. None without a countable truth."""
    pairs = [(number(answer) or 0, number(truth)) for answer, truth in zip(answers, truths, strict=True)]
    errors = [abs(said - wanted) for said, wanted in pairs if wanted is not None]
    return statistics.fmean(errors) if errors else None
