"""What a sampled caption is worth in the self-critical stage.

    reward = CIDEr-D + OBJECTS[source] * object F1 - COPIED[source] * copy - UNFINISHED * broken off

- CIDEr-D against the image's own references, as pycocoevalcap computes it, with the document frequencies of the
  training images of the same source. Of RSICD only images with VARIED different captions or more count: where one
  sentence is repeated five times, the surest reward is to repeat a training sentence, and that is to be unlearnt.
- Object F1: the caption's nouns of the lexicon against those that any reference names. A human caption names fewer than
  half of these, so at a weight of 1 CIDEr-D alone decides. CIDEr-D of UCM is four times that of RSICD, hence the
  larger weight.
- A copy is, word for word, a caption of another training image. The image's own captions are no copies: to say what
  a reference says is the aim, and on a new image it would be no copy either.
- CIDEr-D knows no end of a sentence, so captions drift into "... next to a": one that has no end token within the
  limit, or ends on a word that no sentence ends on, is broken off.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from rsmoe_eval.cider import Corpus, words

from . import data
from .targets import mentions

VARIED = 3
OBJECTS = {"rsicd": 4.0, "ucm": 8.0}
COPIED = {"rsicd": 0.7, "ucm": 0.0}  # UCM's captions are sentences of a few patterns, held-back images' too
UNFINISHED = 1.0
OPEN_WORDS = frozenset(
    (
        "a",
        "an",
        "the",
        "its",
        "and",
        "or",
        "of",
        "in",
        "on",
        "at",
        "to",
        "by",
        "with",
        "from",
        "near",
        "beside",
        "between",
        "is",
        "are",
        "some",
        "many",
        "several",
        "two",
    )
)


def varied(sample: data.Sample) -> bool:
    """Whether the stage samples captions for this image."""
    return sample.source != "rsicd" or len({tuple(words(c)) for c in sample.captions}) >= VARIED


@dataclass(frozen=True)
class Worth:
    """One caption's reward and what it is made of."""

    total: float
    cider: float
    objects: float
    copied: bool
    broken: bool


class Rewards:
    """Rewards of captions of training images."""

    def __init__(self, samples: list[data.Sample]) -> None:
        train = [s for s in samples if s.split == "train" and not data.mislabelled(s)]
        self.corpora = {
            source: Corpus([s.captions for s in train if s.source == source and varied(s)])
            for source in sorted({s.source for s in train})
        }
        self._holders: collections.Counter[tuple[str, ...]] = collections.Counter()
        for sample in train:
            self._holders.update({tuple(words(c)) for c in sample.captions})

    def copied(self, text: str, sample: data.Sample) -> bool:
        """Whether another training image has this caption."""
        said = tuple(words(text))
        own = sample.split == "train" and said in {tuple(words(c)) for c in sample.captions}
        return self._holders[said] > own

    def worth(self, text: str, ended: bool, sample: data.Sample) -> Worth:
        """`ended`: the end token came within the limit."""
        said = words(text)
        corpus = self.corpora[sample.source]
        cider = corpus.cider(text, sample.captions)
        if text not in sample.captions:
            corpus.vectors.pop(text, None)  # references stay, samples come once
        objects = object_f1([text], [sample.captions])
        copied = self.copied(text, sample)
        broken = not ended or not said or said[-1] in OPEN_WORDS
        total = cider + OBJECTS[sample.source] * objects - COPIED[sample.source] * copied - UNFINISHED * broken
        return Worth(total, cider, objects, copied, broken)


def object_f1(texts: Sequence[str], references: Sequence[list[str]]) -> float:
    """2 hits / (nouns of the texts + nouns of their references), over all texts together; 0 when there are none."""
    hits = nouns = 0
    for text, many in zip(texts, references, strict=True):
        named, wanted = set(mentions(text)), {noun for reference in many for noun in mentions(reference)}
        hits += len(named & wanted)
        nouns += len(named) + len(wanted)
    return 2 * hits / max(nouns, 1)


def advantages(rewards: Tensor) -> Tensor:
    """Rewards f32 [n, k], k >= 2: each minus the mean of the image's others (leave-one-out, Kool et al. 2019)."""
    others = (rewards.sum(1, keepdim=True) - rewards) / (rewards.shape[1] - 1)
    return rewards - others
