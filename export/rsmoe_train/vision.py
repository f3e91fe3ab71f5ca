"""Tunes the tower on scene classes and caption words (the vision stage).

Loss: cross-entropy over the 51 classes of both sources, plus binary cross-entropy over the 400 commonest
content words of the captions, the target being the share of an image's captions that hold the word. Half of the batches
are mixed in pairs (mixup, Zhang et al. 2018). What is kept is a running mean of the weights.
"""

from __future__ import annotations

import collections
import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from . import checkpoint, data, parallel, pictures, targets
from .loop import Group, Limit, Loop
from .tower import FEATURE_SHAPE, Tower

WORDS = 400
SEED = 1
BATCH = 64
TOWER_RATE = 5e-4
HEAD_RATE = 2e-3
DECAY = 0.02
WORD_WEIGHT = 12.0
UCM_REPEATS = 3  # UCM is a seventh of the images
MIXED = 0.5  # share of batches that are mixed
MIXUP = 0.2  # both parameters of the beta distribution
MEAN_DECAY = 0.995  # of the running mean of the weights, per step


def tokens(caption: str) -> list[str]:
    """Lower-case words of a caption."""
    return re.findall(r"[a-z][a-z'-]*", caption.lower())


def word_targets(samples: list[data.Sample]) -> tuple[list[str], np.ndarray]:
    """The word list (from training images) and f32 [n, WORDS] shares."""
    counts: collections.Counter[str] = collections.Counter()
    for sample in samples:
        if sample.split == "train":
            for caption in sample.captions:
                counts.update(set(tokens(caption)) - targets.lexicon().stop_words)
    words = [word for word, _ in counts.most_common(WORDS)]
    column = {word: i for i, word in enumerate(words)}
    shares = np.zeros((len(samples), len(words)), np.float32)
    for sample in samples:
        for caption in sample.captions:
            for word in set(tokens(caption)) & column.keys():
                shares[sample.index, column[word]] += 1 / len(sample.captions)
    return words, shares


class Heads(nn.Module):
    """Class and word logits from pooled features; the connector's concept tokens are made of them."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.2)
        self.classes = nn.Linear(FEATURE_SHAPE[-1], len(data.CLASS_KEYS))
        self.words = nn.Linear(FEATURE_SHAPE[-1], WORDS)
        nn.init.constant_(self.words.bias, -3.0)

    def forward(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        """Features [n, 8, 8, 1280] -> logits [n, 51], [n, 400]."""
        pooled = self.dropout(grid.float().mean((1, 2)))
        return self.classes(pooled), self.words(pooled)


def class_targets(samples: list[data.Sample]) -> np.ndarray:
    """f32 [n, 51], label smoothing 0.1 within the classes of the image's own source; zeros where it is unknown."""
    wanted = np.zeros((len(samples), len(data.CLASS_KEYS)), np.float32)
    sources = np.array([source for source, _ in data.CLASS_KEYS])
    for sample in samples:
        if sample.scene is not None:
            own = sources == sample.source
            wanted[sample.index, own] = 0.1 / own.sum()
            wanted[sample.index, sample.label] += 0.9
    return wanted


class Mean:
    """Running mean of parameters."""

    def __init__(self, parameters: dict[str, nn.Parameter], values: dict[str, Tensor] | None) -> None:
        self._parameters = parameters
        self.values = values or {name: p.detach().clone() for name, p in parameters.items()}

    def update(self, step: int) -> None:
        """After an optimiser step; the first steps count less, so that the start is forgotten."""
        decay = min(MEAN_DECAY, (1 + step) / (10 + step))
        for name, parameter in self._parameters.items():
            self.values[name].lerp_(parameter.detach(), 1 - decay)

    def swap(self) -> None:
        """Exchanges the mean and the parameters."""
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                kept = parameter.detach().clone()
                parameter.copy_(self.values[name])
                self.values[name] = kept


@torch.no_grad()
def accuracy(tower: Tower, heads: Heads, cache: np.memmap, samples: list[data.Sample]) -> float:
    """Share of `samples` whose class is the arg-max among the classes of their own source."""
    tower.eval(), heads.eval()
    rng = np.random.default_rng(0)
    samples = [s for s in samples if s.scene is not None]
    right = 0
    for start in range(0, len(samples), BATCH):
        batch = samples[start : start + BATCH]
        logits, _ = heads(tower(pictures.plain(cache, [s.index for s in batch], None, rng)))
        for sample, row in zip(batch, logits, strict=True):
            own = torch.tensor([source == sample.source for source, _ in data.CLASS_KEYS])
            right += int(row.masked_fill(~own, -1e9).argmax()) == sample.label
    return right / max(len(samples), 1)


def train(team: parallel.Team, root: Path, work: Path, limit: Limit, seed: int = SEED) -> None:
    """One process of the team. Writes `vision.pt`: tuned tower, heads, accuracies."""
    torch.manual_seed(seed)
    samples = data.load(root)
    cache = pictures.open_cache(work, samples)
    shares, wanted = torch.from_numpy(word_targets(samples)[1]), torch.from_numpy(class_targets(samples))
    train_rows = data.training_rows(samples, UCM_REPEATS)
    tower, heads = Tower(), Heads()
    parameters = {f"tower.{name}": p.requires_grad_() for name, p in tower.tuned().items()}
    in_tower = list(parameters.values())
    parameters |= {f"heads.{name}": p for name, p in heads.named_parameters()}
    loop = Loop(
        team,
        work / "vision.pt",
        {"net": tower.net, "heads": heads},
        [Group(in_tower, TOWER_RATE, DECAY), Group(heads.parameters(), HEAD_RATE, DECAY)],
        limit,
        BATCH,
    )
    mean = Mean(parameters, loop.state.get("mean"))
    draws = np.random.default_rng(seed + loop.step)
    rng = np.random.default_rng((seed + loop.step) * 8 + team.rank)
    torch.manual_seed((seed + loop.step) * 8 + team.rank)

    def judge() -> None:
        mean.swap()
        for source in ("rsicd", "ucm"):
            held_back = [s for s in samples if s.source == source and s.split == "val"]
            loop.say(f"{source} validation class accuracy {accuracy(tower, heads, cache, held_back):.4f}")
        mean.swap()

    for rows in checkpoint.shuffled(train_rows, BATCH, seed, skip=loop.step):
        if loop.over:
            break
        share = float(draws.beta(MIXUP, MIXUP)) if draws.random() < MIXED else 1.0
        rows = team.share(rows)
        tower.train(), heads.train()
        values, labels, words = pictures.strong(cache, rows, rng), wanted[rows], shares[rows]
        if share < 1:
            values, labels, words = (share * v + (1 - share) * v.flip(0) for v in (values, labels, words))
        class_logits, word_logits = heads(tower(values))
        class_loss = -(labels * class_logits.log_softmax(-1)).sum(-1)
        word_loss = functional.binary_cross_entropy_with_logits(word_logits, words, reduction="none").mean(-1)
        shown = {"class": class_loss, "words": word_loss}
        loop.update(
            (class_loss + WORD_WEIGHT * word_loss).sum(),
            float(len(rows)),
            {name: (float(v.detach().sum()), float(len(rows))) for name, v in shown.items()},
        )
        mean.update(loop.step)
        loop.save({"mean": mean.values}, judge)
    loop.save({"mean": mean.values}, judge, now=True)


def tuned(work: Path) -> tuple[Tower, Heads]:
    """Tower and heads as the vision stage left them (the running mean), in evaluation mode."""
    state = checkpoint.load(work / "vision.pt")
    if state is None:
        raise SystemExit(f"{work} holds no vision.pt: run the vision stage first")
    tower, heads = Tower(), Heads()
    with torch.no_grad():
        for name, parameter in tower.tuned().items():
            parameter.copy_(state["mean"][f"tower.{name}"])
        for name, parameter in heads.named_parameters():
            parameter.copy_(state["mean"][f"heads.{name}"])
    return tower.eval(), heads.eval().requires_grad_(False)


def run(root: Path, work: Path, limit: Limit) -> None:
    """Trains until the limit, over all runs."""
    work.mkdir(parents=True, exist_ok=True)
    pictures.open_cache(work, data.load(root))
    parallel.launch(train, (root, work, limit))
