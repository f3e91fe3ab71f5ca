"""Derives every training text from captions and scene classes: captions, expert texts, router lines, questions.

- caption: the human sentence, tidied (`tidy`).
- theme: the scene class in a sentence.
- objects and relationship: what the image and those most like it agree on (`agreement.py`).
- router: one prompt for each expert, from these objects and the scene class.
"""

from __future__ import annotations

import collections
import functools
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from .data import Sample

CAPTION_INSTRUCTION = "Describe the image."
EXPERTS = ("theme", "objects", "relationship")
FIXED_PROMPTS = {
    "theme": "Name the scene.",
    "objects": "List the objects.",
    "relationship": "Describe how the objects are arranged.",
}
# Words after which an image must not be mirrored or turned.
ORIENTED = re.compile(
    r"\b(left|right|top|bottom|upper|lower|corners?|coner|north\w*|south\w*|east\w*|west\w*|diagonal\w*)\b"
)
# "The scene is {phrase}." where an article before the class name is not enough.
PHRASES = {
    "farmland": "farmland",
    "bare land": "bare land",
    "chaparral": "chaparral",
    "storage tanks": "a group of storage tanks",
    "buildings": "a group of buildings",
}
SOURCE_PHRASES = {("ucm", "agricultural"): "agricultural farmland", ("ucm", "airplane"): "an airport with an airplane"}
LISTED = 6  # objects named at most
HINTS = 2  # objects in a prompt of the router


@dataclass(frozen=True)
class Noun:
    """One entry of the lexicon."""

    name: str
    plural: str | None
    place: bool


@dataclass(frozen=True)
class Lexicon:
    """The parsed `lexicon.yaml`; `forms` maps a caption's word form to (noun, is plural)."""

    forms: dict[str, tuple[Noun, bool]]
    pattern: re.Pattern[str]
    relations: re.Pattern[str]
    spelling: dict[str, str]
    answer_words: tuple[str, ...]
    stop_words: frozenset[str]


def _regular_plural(word: str) -> str:
    if re.search(r"(s|x|ch|sh)$", word):
        return word + "es"
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    return word + "s"


def _alternatives(words: list[str]) -> str:
    return "|".join(re.escape(w) for w in sorted(words, key=len, reverse=True))


@functools.cache
def lexicon() -> Lexicon:
    """Reads `lexicon.yaml` beside this file."""
    raw = yaml.safe_load(Path(__file__).with_name("lexicon.yaml").read_text(encoding="utf-8"))
    forms: dict[str, tuple[Noun, bool]] = {}
    for entry in raw["objects"]:
        noun = Noun(entry["name"], entry.get("plural"), entry.get("place", False))
        forms[noun.name] = (noun, False)
        if noun.plural:
            forms[noun.plural] = (noun, True)
        for other in entry.get("also", []):
            forms.setdefault(other, (noun, False))
            if noun.plural:
                forms.setdefault(_regular_plural(other), (noun, True))
    pattern = re.compile(r"\b(" + _alternatives([*forms, *raw["ignore"]]) + r")(?![\w-])")
    relations = re.compile(r"\b(" + _alternatives(raw["relations"]) + r")\b")
    words = tuple(str(word) for word in raw["answer_words"])
    return Lexicon(forms, pattern, relations, raw["spelling"], words, frozenset(map(str, raw["stop_words"])))


def tidy(caption: str) -> str:
    """A caption as a sentence: no space before punctuation, capital first, period, known misspellings put right."""
    words = [lexicon().spelling.get(word, word) for word in caption.split()]
    text = re.sub(r"\s+([.,;!?])", r"\1", " ".join(words))
    text = re.sub(r",(?=\w)", ", ", text).strip(" .,;")
    return text[:1].upper() + text[1:] + "."


def mentions(caption: str) -> dict[Noun, bool]:
    """Nouns of one caption -> whether it speaks of several."""
    found: dict[Noun, bool] = {}
    for match in lexicon().pattern.finditer(caption.lower()):
        entry = lexicon().forms.get(match.group(1))
        if entry:
            found[entry[0]] = found.get(entry[0], False) or entry[1]
    return found


@dataclass(frozen=True)
class Seen:
    """An object of an image: the noun and whether there are several."""

    noun: Noun
    several: bool

    @property
    def phrase(self) -> str:
        """With its article: `planes`, `a runway`, `grass`."""
        if self.noun.plural is None:
            return self.noun.name
        return self.noun.plural if self.several else with_article(self.noun.name)


def with_article(name: str) -> str:
    """`an airport`, `a river`."""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def join(parts: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def seen_objects(captions: list[str], agreed: int = 2) -> list[Seen]:
    """Objects that `agreed` captions or more name (or as many as do agree), most agreed first; counts and colours are
    left out.
    """
    votes: collections.Counter[Noun] = collections.Counter()
    several: collections.Counter[Noun] = collections.Counter()
    for caption in captions:
        for noun, plural in mentions(caption).items():
            votes[noun] += 1
            several[noun] += plural
    for wanted in range(agreed, 0, -1):
        for places in (False, True):
            chosen = [n for n, v in votes.most_common() if v >= wanted and (places or not n.place)]
            if chosen:
                return [Seen(n, 2 * several[n] >= votes[n]) for n in chosen[:LISTED]]
    return []


def scene_phrase(sample: Sample) -> str | None:
    """The scene class with its article, or None when it is unknown."""
    theme = sample.theme
    if theme is None:
        return None
    return SOURCE_PHRASES.get((sample.source, sample.scene or "")) or PHRASES.get(theme) or with_article(theme)


def theme_text(sample: Sample) -> str | None:
    """`The scene is an airport.`"""
    phrase = scene_phrase(sample)
    return None if phrase is None else f"The scene is {phrase}."


def objects_text(seen: list[Seen]) -> str | None:
    """`It shows planes, buildings and a runway.`"""
    return f"It shows {join([s.phrase for s in seen])}." if seen else None


def router_lines(sample: Sample, seen: list[Seen]) -> dict[str, str]:
    """One prompt for each expert. The theme prompt never names the class, the object prompt does."""
    lines = dict(FIXED_PROMPTS)
    told = [s for s in seen[:HINTS] if not s.noun.place]
    if told:
        hints = [s.phrase for s in told if s.noun.name not in (sample.theme or "")]
        if hints:
            lines["theme"] = f"Name the scene with {join(hints)}."
        named = join([s.phrase for s in told])
        many = len(told) > 1 or told[0].several
        lines["relationship"] = f"Describe how {named} are arranged." if many else f"Describe how {named} is placed."
    phrase = scene_phrase(sample)
    if phrase is not None:
        phrase = "an airport" if phrase.startswith("an airport") else phrase
        lines["objects"] = f"List the objects of this {re.sub(r'^an? ', '', phrase)}."
    return lines


def router_text(lines: dict[str, str]) -> str:
    """The router's three lines, in the order of EXPERTS."""
    return "\n".join(lines[expert] for expert in EXPERTS)


def oriented(text: str) -> bool:
    """Whether a text speaks of directions, so that the image must stay as it is."""
    return bool(ORIENTED.search(text.lower()))
