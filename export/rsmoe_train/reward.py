"""What a sampled caption is worth in the self-critical stage.

    reward = CIDEr-D + OBJECTS[source] * object F1 - COPIED * copy - UNFINISHED * broken off

- CIDEr-D and object F1 are means over the image and those most like it (`agreement.py`): a reward by the image's own
  references alone is earned by knowing them by heart.
- CIDEr-D against an image's references, as pycocoevalcap computes it, with the document frequencies of the training
  images of the same source. Only images whose captions vary count (`data.varied`): where one sentence is repeated five
  times, the surest reward is to repeat a training sentence, and that is to be unlearnt.
- Object F1: the caption's nouns of the lexicon against those that any reference names. A human caption names fewer than
  half of these, so at a weight of 1 CIDEr-D alone decides. CIDEr-D of UCM is four times that of RSICD, hence the
  larger weight there.
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

from rsmoe_eval.cider import words

from . import data
from .agreement import OBJECTS, Agreement, nouns

COPIED = 0.4
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

    def __init__(self, samples: list[data.Sample], agreement: Agreement) -> None:
        self._samples, self._agreement = samples, agreement
        self._holders: collections.Counter[tuple[str, ...]] = collections.Counter()
        for sample in samples:
            if sample.split == "train" and not data.mislabelled(sample):
                self._holders.update({tuple(words(c)) for c in sample.captions})

    def copied(self, text: str, sample: data.Sample) -> bool:
        """Whether another training image has this caption."""
        said = tuple(words(text))
        own = sample.split == "train" and said in {tuple(words(c)) for c in sample.captions}
        return self._holders[said] > own

    def worth(self, text: str, ended: bool, row: int) -> Worth:
        """`ended`: the end token came within the limit."""
        sample = self._samples[row]
        cider, objects = self._agreement.cider(text, row), self._agreement.objects(text, row)
        copied, off = self.copied(text, sample), broken(text, ended)
        total = cider + OBJECTS[sample.source] * objects - COPIED * copied - UNFINISHED * off
        return Worth(total, cider, objects, copied, off)


def broken(text: str, ended: bool) -> bool:
    """Whether a caption breaks off; `ended`: its end token came within the limit."""
    said = words(text)
    return not ended or not said or said[-1] in OPEN_WORDS


def object_f1(texts: Sequence[str], references: Sequence[list[str]]) -> float:
    """2 hits / (nouns of the texts + nouns of their references), over all texts together; 0 when there are none."""
    hits = total = 0
    for text, many in zip(texts, references, strict=True):
        named, wanted = nouns([text]), nouns(many)
        hits += len(named & wanted)
        total += len(named) + len(wanted)
    return 2 * hits / max(total, 1)


def advantages(rewards: Tensor) -> Tensor:
    """Rewards f32 [n, k], k >= 2: each minus the mean of the image's others (leave-one-out, Kool et al. 2019)."""
    others = (rewards.sum(1, keepdim=True) - rewards) / (rewards.shape[1] - 1)
    return rewards - others
