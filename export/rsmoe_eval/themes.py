"""Whether a text names the right scene class."""

from __future__ import annotations

import re

#: Readable names of classes, as the theme expert and RSIVQA write them, where they differ from the class's key. Where
#: RSICD and UCM both have a class, it has the same name.
NAMES = {
    "agricultural": "farmland",
    "bareland": "bare land",
    "baseballdiamond": "baseball diamond",
    "baseballfield": "baseball field",
    "denseresidential": "dense residential",
    "golfcourse": "golf course",
    "mediumresidential": "medium residential",
    "mobilehomepark": "mobile home park",
    "parkinglot": "parking lot",
    "railwaystation": "railway station",
    "sparseresidential": "sparse residential",
    "storagetanks": "storage tank",
    "tenniscourt": "tennis court",
}
#: What a theme text may hold beside the class's name and still name nothing else.
FRAME = frozenset(
    [
        "the",
        "scene",
        "theme",
        "image",
        "picture",
        "is",
        "shows",
        "this",
        "of",
        "a",
        "an",
        "group",
        "agricultural",
        "area",
        "areas",
        "land",
        "lot",
        "lots",
    ]
)


def _names(scene_class: str) -> set[str]:
    name = re.sub("[^a-z]", "", NAMES.get(scene_class, scene_class))
    return {name, name.removesuffix("s"), f"{name}s", f"{name}es"}


def names_class(text: str, scene_class: str) -> bool:
    """True if whole words of the text are the class's readable name; letter case, spaces and a plural are set aside."""
    words = re.findall("[a-z]+", text.lower())
    runs = {"".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)}
    return not runs.isdisjoint(_names(scene_class))


def is_class(text: str, scene_class: str) -> bool:
    """The strict version: the text is the class's name and nothing but words of `FRAME`.

    "The scene is an airport with an airplane." names an airplane, but is not strictly that class.
    """
    words = re.findall("[a-z]+", text.lower())
    names = _names(scene_class)
    spans = [(i, j) for i in range(len(words)) for j in range(i + 1, len(words) + 1) if "".join(words[i:j]) in names]
    return any(FRAME.issuperset(words[:i] + words[j:]) for i, j in spans)


def theme_accuracy(themes: list[tuple[str, str]]) -> dict[str, float]:
    """Shares of (class, text) pairs whose text names the class, leniently and strictly."""
    return {
        "named": sum(names_class(text, scene) for scene, text in themes) / len(themes),
        "named strictly": sum(is_class(text, scene) for scene, text in themes) / len(themes),
    }
