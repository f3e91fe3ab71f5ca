"""Questions for stage 1: those of RSIVQA that are usable, and balanced yes/no questions derived from captions."""

from __future__ import annotations

import collections
import random
import re

from . import targets
from .data import Question, Sample

PRESENCE_FORMS = (
    "{be} there {phrase} in the image?",
    "{be} there {phrase} in this picture?",
    "Does this picture contain {phrase}?",
    "Does the image show {phrase}?",
)
THEME_FORMS = (
    "What is the theme of this picture?",
    "what is the theme of this picture?",
    "What kind of scene is this?",
)
# An object is asked about with the answer "no" only if this share of its class's training images, at most, has it.
RARE = 0.04
MIN_IMAGES = 40
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def usable(question: Question) -> bool:
    """Rows of RSIVQA without their object ("How many  in the picture?") and with typing errors are dropped."""
    return "  " not in question.text and question.answer not in ("harobr", "several", "i don't know")


def theme_answer(sample: Sample) -> str | None:
    """The class in the words of RSIVQA: `dense residential`, `storage tanks`."""
    if sample.theme is None:
        return None
    if sample.source == "ucm":
        return next(
            (q.answer for q in sample.questions if "theme" in q.text and "theme" in q.text.lower()), sample.theme
        )
    return re.sub(r" (area|lot)$", "", sample.theme)


class Presence:
    """Which nouns occur in which scene class, so that "no" answers are safe."""

    def __init__(self, samples: list[Sample]) -> None:
        self.mentioned: dict[int, set[targets.Noun]] = {}
        self.agreed: dict[int, list[targets.Seen]] = {}
        by_class: dict[int, collections.Counter[targets.Noun]] = collections.defaultdict(collections.Counter)
        sizes: collections.Counter[int] = collections.Counter()
        total: collections.Counter[targets.Noun] = collections.Counter()
        for sample in samples:
            if sample.split != "train":
                continue
            nouns = {n for caption in sample.captions for n in targets.mentions(caption)}
            self.mentioned[sample.index] = nouns
            self.agreed[sample.index] = [s for s in targets.seen_objects(sample.captions) if not s.noun.place]
            sizes[sample.label] += 1
            by_class[sample.label].update(nouns)
            total.update(nouns)
        common = [n for n, v in total.items() if v >= MIN_IMAGES and not n.place]
        self.absent = {
            label: (
                [n for n in common if by_class[label][n] <= RARE * size],
                [total[n] ** 0.5 for n in common if by_class[label][n] <= RARE * size],
            )
            for label, size in sizes.items()
        }

    def ask(self, sample: Sample, rng: random.Random) -> Question | None:
        """A yes/no question about one object, yes and no equally often; singular or plural phrasing."""
        yes = rng.random() < 0.5
        if yes:
            if not self.agreed[sample.index]:
                return None
            seen = rng.choice(self.agreed[sample.index])
            noun, several = seen.noun, seen.several or rng.random() < 0.3
        else:
            nouns, weights = self.absent[sample.label]
            rest = [(n, w) for n, w in zip(nouns, weights, strict=True) if n not in self.mentioned[sample.index]]
            if not rest or sample.scene is None:
                return None
            (noun,) = rng.choices([n for n, _ in rest], [w for _, w in rest])
            several = rng.random() < 0.6
        phrase = targets.Seen(noun, several).phrase
        be = "Are" if several and noun.plural else "Is"
        return Question(rng.choice(PRESENCE_FORMS).format(be=be, phrase=phrase), "yes" if yes else "no")


def count_questions(sample: Sample) -> list[Question]:
    """Numbers that at least two captions give for the same plural noun: `How many bridges are in the image?`"""
    votes: collections.Counter[tuple[str, str]] = collections.Counter()
    number = re.compile(r"\b(" + "|".join(NUMBERS[1:]) + r") ((?:[a-z-]+ ){0,2})$")
    for caption in sample.captions:
        text = caption.lower()
        found = set()
        for match in targets.lexicon().pattern.finditer(text):
            before = number.search(text[: match.start()])
            entry = targets.lexicon().forms.get(match.group(1))
            if before and entry and entry[1] and entry[0].plural and not entry[0].place:
                found.add((before.group(1), entry[0].plural))
        votes.update(found)
    return [Question(f"How many {plural} are in the image?", number) for (number, plural), v in votes.items() if v >= 2]


def choose(sample: Sample, presence: Presence, rng: random.Random, count: int = 2) -> list[Question]:
    """`count` different questions about one training image."""
    pool: list[Question] = []
    theme = theme_answer(sample)
    if theme is not None:
        pool.append(Question(rng.choice(THEME_FORMS), theme))
    human = [q for q in sample.questions if usable(q) and "theme" not in q.text.lower()] + count_questions(sample)
    if human:
        pool.append(rng.choice(human))
    derived = presence.ask(sample, rng)
    if derived is not None:
        pool.append(derived)
    rng.shuffle(pool)
    return pool[:count]
