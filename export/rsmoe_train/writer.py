"""The captioner at work while it is trained: captions of image embeddings, greedy or sampled."""

from __future__ import annotations

import torch
from torch import Tensor

from . import model, targets
from .language import Decoder, Pairs
from .sampling import Sampler

LONGEST = 36  # tokens of a caption, the end token included


class Writer:
    """Writes with the delta as it was at the last `refresh`."""

    def __init__(self, language: model.Language, decoder: Decoder, delta: Pairs) -> None:
        self._decoder, self._delta, self._segments = decoder, delta, language.segments
        self._sampler = Sampler(decoder, language.shortlist, language.segments.end)
        segments = language.segments
        instruction = [*segments.turn_end(targets.CAPTION_INSTRUCTION), *segments.header("assistant")]
        self._prompt = torch.tensor([*segments.prefix(), *instruction])

    def refresh(self) -> None:
        """Takes over the delta as it is now."""
        self._sampler.refresh(self._delta)

    def write(self, image: Tensor, count: int, temperature: float) -> list[list[list[int]]]:
        """`count` captions of each image, as token ids. image [n, image tokens, hidden]."""
        ids = self._prompt.expand(len(image), -1)
        x = self._decoder.embed(ids, image, self._segments.image_at)
        return self._sampler.write(x, count, LONGEST, temperature)

    def text(self, ids: list[int]) -> str:
        """Detokenized and stripped."""
        return self._segments.detokenize(ids).strip()

    def ended(self, ids: list[int]) -> bool:
        """Whether a caption has its end token."""
        return ids[-1] == self._segments.end

    def greedy(self, image: Tensor) -> list[tuple[str, bool]]:
        """Greedy captions with the delta as it is now, and whether each was ended."""
        self.refresh()
        return [(self.text(ids), self.ended(ids)) for (ids,) in self.write(image, 1, 0.0)]
