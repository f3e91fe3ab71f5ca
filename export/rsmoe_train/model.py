"""What both stages share: tokenizer, shortlist, base tensors, image embeddings, the loss."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from . import base, checkpoint, data, questions, targets
from .connector import Start
from .data import Sample
from .packing import Batch, Segments

LABEL_SMOOTHING = 0.1


@dataclass(frozen=True)
class Language:
    """The base and everything around its vocabulary."""

    shape: base.Shape
    tensors: dict[str, Tensor]  # fp32, see `base.read`
    segments: Segments
    shortlist: Tensor  # int64 [n] ascending: ids that the output head may emit
    columns: np.ndarray  # int64 [vocabulary]: column in the shortlist or -1


def tokenizer(work: Path) -> Tokenizer:
    """The base's tokenizer; unpacked once into the working directory."""
    path = work / "tokenizer.json"
    if not path.exists():
        base.tokenizer().save(str(path))
    return Tokenizer.from_file(str(path))


def texts(samples: list[Sample]) -> set[str]:
    """Every text that training may ask the model to write or to read."""
    found = {targets.CAPTION_INSTRUCTION, *targets.FIXED_PROMPTS.values(), "\n", "yes", "no", *questions.THEME_FORMS}
    for sample in samples:
        if sample.split != "train":
            continue
        found.update(targets.tidy(c) for c in sample.captions)
        lines = targets.router_lines(sample, targets.seen_objects(sample.captions))
        found.update((*lines.values(), targets.router_text(lines)))
        found.update(t for t in [targets.theme_text(sample)] if t)
        for question in [*sample.questions, *questions.count_questions(sample)]:
            found.update((question.text, question.answer))
        theme = questions.theme_answer(sample)
        if theme:
            found.add(theme)
    for noun, _ in targets.lexicon().forms.values():
        found.update(f"It shows {targets.Seen(noun, s).phrase}, {targets.Seen(noun, s).phrase}." for s in (False, True))
    return found


def build_shortlist(tokens: Tokenizer, samples: list[Sample]) -> Tensor:
    """Ids in use, ascending."""
    ids = {tokens.token_to_id(t) for t in ("<|im_start|>", "<|im_end|>")}
    for encoded in tokens.encode_batch(sorted(texts(samples)), add_special_tokens=False):
        ids.update(encoded.ids)
    for word in targets.lexicon().answer_words:
        for form in (word, f" {word}", word.capitalize()):
            encoded = tokens.encode(form, add_special_tokens=False).ids
            if len(encoded) == 1:
                ids.update(encoded)
    return torch.tensor(sorted(ids))


def language(work: Path, samples: list[Sample]) -> Language:
    """Loads the base; the shortlist is made once and kept in `vocabulary.pt`."""
    shape, tensors = base.read()
    tokens = tokenizer(work)
    state = checkpoint.load(work / "vocabulary.pt")
    if state is None:
        state = {"output_ids": build_shortlist(tokens, samples)}
        checkpoint.save(work / "vocabulary.pt", state)
    shortlist = state["output_ids"]
    columns = np.full(tensors["embedding"].shape[0], -1, np.int64)
    columns[shortlist.numpy()] = np.arange(len(shortlist))
    return Language(shape, tensors, Segments(tokens), shortlist, columns)


def concept_start(language: Language, words: list[str]) -> Start:
    """The concept tables' start: mean embedding of each class's name and of each word, over the embedding's scale."""
    embedding = language.tensors["embedding"]

    def mean(text: str) -> Tensor:
        return embedding[language.segments.text(f" {text}")].mean(0)

    readable = {"rsicd": data.RSICD_CLASSES, "ucm": data.UCM_CLASSES}
    names = [readable[source][key] for source, key in data.CLASS_KEYS]
    scale = embedding.std()
    return Start(*(torch.stack([mean(text) for text in found]) / scale for found in (names, words)))


def token_loss(hidden: Tensor, head: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Weighted sum of the learnt tokens' cross-entropies with label smoothing, and each token's plain loss [m].

    hidden [n, t, width], head [shortlist, width] in the compute dtype. The mean is taken once all processes are summed.
    """
    picked = hidden.flatten(0, 1)[batch.rows]
    logits = functional.linear(picked, head).float()
    plain = functional.cross_entropy(logits, batch.targets, reduction="none")
    smooth = logits.logsumexp(-1) - logits.mean(-1)
    mixed = (1 - LABEL_SMOOTHING) * plain + LABEL_SMOOTHING * smooth
    return (mixed * batch.weights).sum(), plain.detach()
