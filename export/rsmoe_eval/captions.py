"""Scores of captions: pycocoevalcap with its PTB tokenizer (needs Java), copies of training sentences, lengths."""

from __future__ import annotations

import contextlib
import io
import statistics
from collections.abc import Sequence

from .cider import Corpus, words


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error (sample standard deviation over the root of n; 0 for one value)."""
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return statistics.fmean(values), error


class Scorer:
    """Scores texts against the references of one split, which are tokenized once.

    `references[i]` are the sentences of image i; every text list has their order and length.
    """

    def __init__(self, references: list[list[str]]) -> None:
        self.references = references
        self.corpus = Corpus(references)
        self.tokenized: dict[int, list[str]] | None = None

    def coco(self, texts: list[str]) -> dict[str, float]:
        """BLEU-1..4, METEOR, ROUGE-L and CIDEr with its standard error, as pycocoevalcap computes them."""
        from pycocoevalcap.bleu.bleu import Bleu
        from pycocoevalcap.cider.cider import Cider
        from pycocoevalcap.meteor.meteor import Meteor
        from pycocoevalcap.rouge.rouge import Rouge
        from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

        tokenizer = PTBTokenizer()
        if self.tokenized is None:
            wanted = {i: [{"caption": text} for text in many] for i, many in enumerate(self.references)}
            self.tokenized = tokenizer.tokenize(wanted)
        told = tokenizer.tokenize({i: [{"caption": text}] for i, text in enumerate(texts)})
        with contextlib.redirect_stdout(io.StringIO()):  # the scorers print their intermediate figures
            bleu, _ = Bleu(4).compute_score(self.tokenized, told)
            rouge, _ = Rouge().compute_score(self.tokenized, told)
            _, cider = Cider().compute_score(self.tokenized, told)
            meteor, _ = Meteor().compute_score(self.tokenized, told)
        mean, error = mean_and_error([float(value) for value in cider])
        scores = {f"BLEU-{n}": float(value) for n, value in enumerate(bleu, 1)}
        return scores | {"METEOR": float(meteor), "ROUGE-L": float(rouge), "CIDEr": mean, "CIDEr s.e.": error}

    def plain_cider(self, texts: list[str]) -> dict[str, float]:
        """CIDEr without Java: `cider.py` and its own words, equal to `coco`'s where the tokenizers agree."""
        rows = [self.corpus.cider(text, many) for text, many in zip(texts, self.references, strict=True)]
        mean, error = mean_and_error(rows)
        return {"CIDEr": mean, "CIDEr s.e.": error}

    def matched(self, texts: list[str]) -> dict[str, float]:
        """Means of the sentence-matched precision, recall and F of `cider.py`, with the standard error of F."""
        rows = [self.corpus.matched(text, many) for text, many in zip(texts, self.references, strict=True)]
        precision, recall, score = zip(*rows, strict=True)
        mean, error = mean_and_error(score)
        return {
            "sentence precision": statistics.fmean(precision),
            "sentence recall": statistics.fmean(recall),
            "sentence F": mean,
            "sentence F s.e.": error,
        }


def normalised(text: str) -> str:
    """Words in lower case, without punctuation: what counts as the same sentence."""
    return " ".join(words(text))


def copies(texts: list[str], training: set[str]) -> float:
    """Share of texts that are a training sentence; `training` holds normalised sentences."""
    return sum(normalised(text) in training for text in texts) / len(texts)


def mean_length(texts: list[str]) -> float:
    """Words of a text, in the mean."""
    return statistics.fmean(len(words(text)) for text in texts)
