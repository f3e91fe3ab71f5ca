"""Whether the theme expert names the right scene class."""

from __future__ import annotations

import re

#: Readable names of the UC Merced classes, as the theme expert writes them (RSIVQA's theme answers).
UCM_NAMES = {
    "agricultural": "farmland",
    "baseballdiamond": "baseball diamond",
    "denseresidential": "dense residential",
    "golfcourse": "golf course",
    "mediumresidential": "medium residential",
    "mobilehomepark": "mobile home park",
    "parkinglot": "parking lot",
    "sparseresidential": "sparse residential",
    "storagetanks": "storage tank",
    "tenniscourt": "tennis court",
}


def letters(text: str) -> str:
    """The letters of a text in lower case, nothing between them."""
    return re.sub(r"[^a-z]", "", text.lower())


def names_class(text: str, scene_class: str) -> bool:
    """True if the text names the class: its readable name stands in it, letter case, spaces and plural set aside."""
    said = letters(text)
    name = letters(UCM_NAMES.get(scene_class, scene_class)).rstrip("s")
    return name in said


def theme_accuracy(themes: list[tuple[str, str]]) -> dict:
    """Share of (class, theme text) pairs whose text names the class."""
    right = sum(names_class(text, scene_class) for scene_class, text in themes)
    return {"theme accuracy": right / len(themes)}
