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


def names_class(text: str, scene_class: str) -> bool:
    """True if whole words of the text are the class's readable name; letter case, spaces and a plural are set aside."""
    words = re.findall("[a-z]+", text.lower())
    name = re.sub("[^a-z]", "", UCM_NAMES.get(scene_class, scene_class))
    runs = {"".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)}
    return not runs.isdisjoint({name, name.removesuffix("s"), f"{name}s", f"{name}es"})


def theme_accuracy(themes: list[tuple[str, str]]) -> dict:
    """Share of (class, theme text) pairs whose text names the class."""
    right = sum(names_class(text, scene_class) for scene_class, text in themes)
    return {"theme accuracy": right / len(themes)}
