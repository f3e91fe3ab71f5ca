"""Whether confidence tells images of the model's kind from empty and foreign ones."""

from __future__ import annotations

import bisect

PROBES = (
    {"question": "Is there a building in the image?", "choices": ["yes", "no"]},
    {"question": "How many buildings are in the image?"},
)


def auroc(inside: list[float], outside: list[float]) -> float:
    """Probability that a value of `inside` is above one of `outside`, ties counting half (Mann-Whitney)."""
    ordered = sorted(outside)
    below = sum(bisect.bisect_left(ordered, value) + bisect.bisect_right(ordered, value) for value in inside)
    return below / (2 * len(inside) * len(outside))


def separation(inside: list[float], kinds: dict[str, list[float]]) -> dict[str, float]:
    """AUROC of the images of each kind against those of the model's kind, of all but photographs, and of all."""
    table = {kind: auroc(inside, values) for kind, values in kinds.items()}
    generated = [value for kind, values in kinds.items() if kind != "photo" for value in values]
    if generated:
        table["all generated"] = auroc(inside, generated)
    return table | {"all": auroc(inside, [value for values in kinds.values() for value in values])}
