"""Greedy captions of held-back images, now and then while a stage goes on: lines in the log, never figures to quote."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from rsmoe_eval.cider import Corpus, words

from . import data, reward

JUDGED = 96  # held-back images of each source
SECONDS = 600.0  # between two reports; on two cores one takes half a minute
SOURCES = ("rsicd", "ucm")

Captions = list[tuple[str, bool]]  # texts, and whether each has its end


def judged(samples: list[data.Sample], source: str) -> list[data.Sample]:
    """Held-back images of one source, of RSICD those with at least four different captions."""
    chosen = [s for s in samples if s.split == "val" and s.source == source]
    if source == "rsicd":
        chosen = [s for s in chosen if len({tuple(words(c)) for c in s.captions}) >= 4]
    return chosen[:: max(1, len(chosen) // JUDGED)][:JUDGED]


def figures(rewards: reward.Rewards, chosen: list[data.Sample], written: Captions) -> dict[str, float]:
    """Figures of captions of images of one source; CIDEr has these images' frequencies."""
    corpus = Corpus([s.captions for s in chosen])
    texts = [text for text, _ in written]
    found = {
        "CIDEr": [corpus.cider(text, s.captions) for text, s in zip(texts, chosen, strict=True)],
        "copies": [rewards.copied(text, s) for text, s in zip(texts, chosen, strict=True)],
        "objects": [reward.object_f1(texts, [s.captions for s in chosen])],
        "broken": [reward.broken(text, ended) for text, ended in written],
        "words": [len(text.split()) for text in texts],
    }
    return {name: float(np.mean(values)) for name, values in found.items()}


class Judge:
    """`look` gives the connector's input [1, ..] of an image by its row number, `caption` the captions of such."""

    def __init__(
        self,
        samples: list[data.Sample],
        rewards: reward.Rewards,
        look: Callable[[int], Tensor],
        caption: Callable[[Tensor], Captions],
    ) -> None:
        self._chosen = {source: judged(samples, source) for source in SOURCES}
        self._rewards, self._look, self._caption = rewards, look, caption
        self._seen: dict[int, Tensor] = {}
        self._said = -float("inf")

    def due(self) -> bool:
        """Whether the last report is old enough."""
        return time.monotonic() - self._said >= SECONDS

    @torch.no_grad()
    def report(self) -> str:
        """One line for each source."""
        lines = []
        for source, chosen in self._chosen.items():
            for sample in chosen:
                if sample.index not in self._seen:
                    self._seen[sample.index] = self._look(sample.index)
            written = self._caption(torch.cat([self._seen[sample.index] for sample in chosen]))
            found = figures(self._rewards, chosen, written)
            first = [text for text, _ in written[:3]]
            lines.append(f"{source} greedy: " + " ".join(f"{k} {v:.3f}" for k, v in found.items()) + f"; {first}")
        self._said = time.monotonic()
        return "\n".join(lines)
