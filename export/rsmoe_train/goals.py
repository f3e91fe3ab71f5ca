"""What router and experts are to say about an image; made of its class and of what it and its neighbours agree on."""

from __future__ import annotations

from pathlib import Path

from . import neighbours, targets
from .agreement import Agreement
from .data import Sample


class Goals:
    """Knows images by their row numbers."""

    def __init__(self, samples: list[Sample], agreement: Agreement) -> None:
        self._samples, self._agreement = samples, agreement

    @classmethod
    def find(cls, work: Path, samples: list[Sample]) -> Goals:
        """With the neighbours that `work` holds; looks for them if there are none yet."""
        return cls(samples, Agreement(samples, neighbours.find(work, samples)))

    def lines(self, row: int) -> dict[str, str]:
        """The router's prompt for each expert."""
        return targets.router_lines(self._samples[row], self._agreement.seen(row))

    def experts(self, row: int) -> dict[str, str]:
        """What each expert should say; an expert without a target is left out."""
        found = {
            "theme": targets.theme_text(self._samples[row]),
            "objects": targets.objects_text(self._agreement.seen(row)),
            "relationship": targets.tidy(self._agreement.related(row)),
        }
        return {expert: text for expert, text in found.items() if text}
