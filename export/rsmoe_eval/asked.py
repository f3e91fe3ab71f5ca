"""The questions: RSIVQA's about the validation images, and derived ones (seeded), with their blind baselines.

A group is a set of questions with one origin: `ucm rsivqa`, `rsicd rsivqa`, `ucm derived`, `rsicd derived`. Derived
questions follow the rules of the training (`rsmoe_train/questions.py`): presence with as many yes as no, "no" only for
nouns that are rare in the image's class and that no reference names; counts only where two references give the same
number.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from rsmoe_train import questions, targets
from rsmoe_train.data import Question, Sample

from .answers import Blind, normal
from .splits import CLASSES, Data

KINDS = ("theme", "presence", "count", "location")
THEME = "what is the theme of this picture?"  # RSIVQA's words
SEED = 7
DERIVED = 2  # presence questions derived for each image
COUNTS = 30  # choices for counts and places at most, if these are scored


@dataclass(frozen=True)
class Asked:
    """One question about one image with its true answer."""

    group: str
    kind: str
    sample: Sample
    question: str
    truth: str
    choices: tuple[str, ...] | None = None  # scored choices, or None for a free answer

    @property
    def request(self) -> dict:
        """The line for `rsmoe ask --questions`."""
        line: dict = {"input": str(self.sample.path), "question": self.question}
        return line if self.choices is None else line | {"choices": list(self.choices)}


def kind_of(question: str) -> str:
    """theme, presence, count or location."""
    text = question.lower()
    words = (("theme", "theme"), ("how many", "count"), ("location", "location"))
    return next((kind for word, kind in words if word in text), "presence")


def theme_choices(source: str, training: list[Sample]) -> dict[str, str]:
    """Scene class -> its name in RSIVQA's words, for the classes of a source, in the order of their keys."""
    names: dict[str, str] = {}
    for sample in training:
        if sample.source == source and sample.scene is not None:
            names.setdefault(sample.scene, questions.theme_answer(sample) or "")
    return {scene: names[scene] for scene in CLASSES[source] if scene in names}


def _rsivqa(data: Data, sample: Sample) -> list[Question]:
    """The usable rows about one image. RSICD's only question is the theme; classes that RSIVQA merges have none."""
    if sample.source == "ucm":
        return [question for question in data.questions[sample.path.name] if questions.usable(question)]
    theme = questions.theme_answer(sample)
    return [] if theme is None else [Question(THEME, theme)]


def _derived(sample: Sample, presence: questions.Presence, rng: random.Random) -> list[Question]:
    """Presence and count questions about one image, each noun once."""
    if sample.index not in presence.mentioned:  # it knows the training part only
        captions = sample.captions
        presence.mentioned[sample.index] = {noun for text in captions for noun in targets.mentions(text)}
        presence.agreed[sample.index] = [seen for seen in targets.seen_objects(captions) if not seen.noun.place]
    found: dict[frozenset, Question] = {}
    for _ in range(DERIVED):
        question = presence.ask(sample, rng)
        if question is not None:
            found.setdefault(frozenset(targets.mentions(question.text)), question)
    return [*found.values(), *questions.count_questions(sample)]


@dataclass(frozen=True)
class Group:
    """The validation questions of one origin and what answers them blindly."""

    name: str
    rows: list[Asked]
    blind: Blind


def _group(data: Data, presence: questions.Presence, source: str, origin: str, scored: frozenset[str]) -> Group:
    def about(sample: Sample) -> list[Question]:
        if origin == "rsivqa":
            return _rsivqa(data, sample)
        return _derived(sample, presence, random.Random(f"{SEED} {sample.source} {sample.path.name}"))

    training = [
        (kind_of(question.text), question.text, question.answer)
        for sample in data.training
        if sample.source == source
        for question in about(sample)
    ]
    themes = tuple(theme_choices(source, data.training).values())

    def choices(kind: str) -> tuple[str, ...] | None:
        if kind not in scored:
            return None
        if kind in ("theme", "presence"):
            return themes if kind == "theme" else ("yes", "no")
        said = [answer for its_kind, _, answer in training if its_kind == kind]
        common = sorted(set(said), key=lambda answer: (-said.count(answer), answer))[:COUNTS]
        return tuple({normal(answer): answer for answer in reversed(common)}.values()) if len(common) > 1 else None

    lists = {kind: choices(kind) for kind in KINDS}
    rows = [
        Asked(f"{source} {origin}", kind, sample, question.text, question.answer, lists[kind])
        for sample in data.chosen[source]
        for question in about(sample)
        for kind in (kind_of(question.text),)
    ]
    return Group(f"{source} {origin}", rows, Blind.fit(training))


def groups(data: Data, scored: frozenset[str] = frozenset({"theme", "presence"})) -> list[Group]:
    """All groups. Kinds in `scored` are asked with a closed set of choices, the others freely."""
    presence = questions.Presence(data.samples)
    return [_group(data, presence, source, origin, scored) for source in CLASSES for origin in ("rsivqa", "derived")]


def classifier(data: Data, source: str) -> tuple[list[Asked], dict[str, str]]:
    """The theme question about every chosen image of a source, and answer -> scene class."""
    names = theme_choices(source, data.training)
    rows = [
        Asked("classifier", "theme", sample, THEME, names.get(sample.scene or "", ""), tuple(names.values()))
        for sample in data.chosen[source]
    ]
    return rows, {name: scene for scene, name in names.items()}
