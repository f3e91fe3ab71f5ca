"""Scores of captions: pycocoevalcap with its PTB tokenizer (needs Java), copies of training sentences, lengths."""

from __future__ import annotations

import contextlib
import functools
import io
import statistics
from collections.abc import Sequence

from .cider import Corpus, words


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error (sample standard deviation over the root of n; 0 for one value)."""
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return statistics.fmean(values), error


@functools.cache
def _meteor():
    """One Java process for all calls: it loads its tables once."""
    from pycocoevalcap.meteor.meteor import Meteor

    return Meteor()


class Scorer:
    """Scores texts against the references of one split.

    `references[i]` are the sentences of image i; every list of texts has their order and length.
    """

    def __init__(self, references: list[list[str]]) -> None:
        self.references = references
        self.corpus = Corpus(references)

    def coco(self, rows: dict[str, list[str]]) -> dict[str, dict[str, float]]:
        """Row name -> BLEU-1..4, METEOR, ROUGE-L and CIDEr with its standard error, as pycocoevalcap computes them."""
        from pycocoevalcap.bleu.bleu import Bleu
        from pycocoevalcap.cider.cider import Cider
        from pycocoevalcap.rouge.rouge import Rouge
        from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

        groups = {(None, i): many for i, many in enumerate(self.references)}
        groups |= {(name, i): [text] for name, texts in rows.items() for i, text in enumerate(texts)}
        asked = {key: [{"caption": text} for text in many] for key, many in groups.items()}
        words_of = PTBTokenizer().tokenize(asked)
        wanted = {i: words_of[None, i] for i in range(len(self.references))}
        result = {}
        for name, texts in rows.items():
            told = {i: words_of[name, i] for i in range(len(texts))}
            with contextlib.redirect_stdout(io.StringIO()):  # the scorers print their intermediate figures
                bleu, _ = Bleu(4).compute_score(wanted, told)
                rouge, _ = Rouge().compute_score(wanted, told)
                _, cider = Cider().compute_score(wanted, told)
                meteor, _ = _meteor().compute_score(wanted, told)
            mean, error = mean_and_error([float(value) for value in cider])
            scores = {f"BLEU-{n}": float(value) for n, value in enumerate(bleu, 1)}
            scores |= {"METEOR": float(meteor), "ROUGE-L": float(rouge), "CIDEr": mean, "CIDEr s.e.": error}
            result[name] = scores
        return result

    def plain_cider(self, rows: dict[str, list[str]]) -> dict[str, dict[str, float]]:
        """CIDEr without Java: `cider.py` and its own words, equal to `coco`'s where the tokenizers agree."""
        result = {}
        for name, texts in rows.items():
            each = [self.corpus.cider(text, many) for text, many in zip(texts, self.references, strict=True)]
            result[name] = dict(zip(("CIDEr", "CIDEr s.e."), mean_and_error(each), strict=True))
        return result

    def scores(self, rows: dict[str, list[str]], java: bool) -> dict[str, dict[str, float]]:
        """`coco`, or `plain_cider` where Java is not wanted."""
        return self.coco(rows) if java else self.plain_cider(rows)

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
