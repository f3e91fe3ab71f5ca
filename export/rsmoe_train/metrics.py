"""Caption and list metrics."""

from __future__ import annotations

import contextlib
import io

from . import targets


def cider(captions: list[str], references: list[list[str]]) -> float:
    """CIDEr of pycocoevalcap with its PTB tokenizer (a Java program); the corpus gives the document frequencies."""
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    tokenizer = PTBTokenizer()
    with contextlib.redirect_stdout(io.StringIO()):
        told = tokenizer.tokenize({i: [{"caption": c}] for i, c in enumerate(captions)})
        wanted = tokenizer.tokenize({i: [{"caption": c} for c in many] for i, many in enumerate(references)})
    return float(Cider().compute_score(wanted, told)[0])


def list_overlap(text: str, captions: list[str]) -> tuple[int, int, int]:
    """(nouns named and agreed on in the captions, nouns named, nouns agreed on)."""
    named = set(targets.mentions(text))
    wanted = {seen.noun for seen in targets.seen_objects(captions)}
    return len(named & wanted), len(named), len(wanted)


def f1(rows: list[tuple[int, int, int]]) -> float:
    """Micro-averaged F1 of `list_overlap` rows."""
    hit, named, wanted = (sum(column) for column in zip(*rows, strict=True))
    return 2 * hit / max(named + wanted, 1)
