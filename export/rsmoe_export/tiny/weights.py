"""A random decoder whose greedy text is not decided by near ties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rsmoe_export.decoder.config import DecoderConfig
from rsmoe_export.decoder.weights import LayerWeights
from rsmoe_export.sources.random import RandomDecoder, normal

#: Id of `<|im_end|>` in the tiny tokenizers.
END = 2


@dataclass(frozen=True)
class TinyDecoder:
    """Random layers under a head that mostly follows a random successor table.

    The logit of a word is high where the hidden state still looks like the embedding of the word's predecessor. The
    layers and adapters add enough to change the choice with the context; the rest keeps the margins wide.
    """

    body: RandomDecoder
    #: Ids that may be written; all other words have a zero row in the head.
    words: Sequence[int]
    newline: int
    #: Scale of the logits.
    sharpness: float = 1.5

    @property
    def config(self) -> DecoderConfig:
        """Shapes."""
        return self.body.config

    def embedding(self) -> np.ndarray:
        """Unit-variance token embeddings."""
        return self.body.embedding()

    def head(self) -> np.ndarray:
        """`[vocabulary, hidden]`."""
        table = self.embedding()
        order = np.random.RandomState((self.body.seed, 4)).permutation(len(self.words))
        head = normal((self.body.seed, 5), table.shape, 0.0)
        for word, place in zip(self.words, order, strict=True):
            # A word's predecessor is another word; a few words also lead to the end of the text, or of the line.
            predecessor = self.words[place]
            head[word] += table[predecessor]
            for common, first in ((END, 0), (self.newline, 7)):
                if place % 16 == first:
                    head[common] += table[predecessor] * np.float32(0.7)
        return head * np.float32(self.sharpness / np.sqrt(self.config.hidden))

    def final_norm(self) -> np.ndarray:
        """Scales near one."""
        return self.body.final_norm()

    def layer(self, index: int) -> LayerWeights:
        """Random weights."""
        return self.body.layer(index)
