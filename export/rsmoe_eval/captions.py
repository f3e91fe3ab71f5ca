"""Caption scores with pycocoevalcap and its PTB tokenizer (needs Java)."""

from __future__ import annotations

import contextlib
import io
import statistics


def caption_scores(pairs: list[tuple[list[str], str]]) -> dict:
    """BLEU-4, ROUGE-L and CIDEr of (references, caption) pairs, as pycocoevalcap computes them."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    tokenizer = PTBTokenizer()
    references = tokenizer.tokenize({i: [{"caption": text} for text in texts] for i, (texts, _) in enumerate(pairs)})
    captions = tokenizer.tokenize({i: [{"caption": text}] for i, (_, text) in enumerate(pairs)})
    # The scorers print their intermediate figures.
    with contextlib.redirect_stdout(io.StringIO()):
        bleu, _ = Bleu(4).compute_score(references, captions)
        rouge, _ = Rouge().compute_score(references, captions)
        cider, each = Cider().compute_score(references, captions)
    return {
        "BLEU-4": float(bleu[3]),
        "ROUGE-L": float(rouge),
        "CIDEr": float(cider),
        "CIDEr standard error": statistics.stdev(float(value) for value in each) / len(pairs) ** 0.5,
    }
