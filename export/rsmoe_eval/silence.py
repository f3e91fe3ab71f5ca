"""The confidence below which an expert had better stay out of a full caption.

The runtime's rule (`ConfidenceSpec::silent_below`): the expert that leads is always heard, so is the surest one, and of
the others those that are not below the threshold. Fewer sentences name fewer objects, right ones and wrong ones; the
threshold is the largest at which every source is within `MOST_LOST` of its best object F1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .objects import Truth, object_scores

MOST_LOST = 0.005


@dataclass(frozen=True)
class Told:
    """One image: what its experts wrote, how sure each is, which one leads, and what is there."""

    texts: Sequence[str]
    confidences: Sequence[float]
    leads: Sequence[bool]
    truth: Truth

    def caption(self, silent_below: float) -> str:
        """The texts that are heard."""
        surest = max(self.confidences, default=0.0)
        rows = zip(self.texts, self.confidences, self.leads, strict=True)
        return " ".join(text for text, sure, leads in rows if leads or sure >= min(surest, silent_below))


def scores(images: list[Told], silent_below: float) -> dict[str, float]:
    """Object scores of the full captions at a threshold."""
    return object_scores([image.caption(silent_below) for image in images], [image.truth for image in images])


def silent_below(sources: Mapping[str, list[Told]]) -> float:
    """The largest threshold, in hundredths, at which every source is within `MOST_LOST` of its best object F1; 0 if
    there is none.
    """
    steps = [step / 100 for step in range(100)]
    good = set(steps)
    for images in sources.values():
        found = {step: scores(images, step)["object F1"] for step in steps}
        good &= {step for step in steps if found[step] >= max(found.values()) - MOST_LOST}
    return max(good, default=0.0)
