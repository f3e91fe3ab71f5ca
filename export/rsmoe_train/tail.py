"""Tunes the tower's tail on scene classes and caption words (the vision stage).

Loss: cross-entropy over the 51 classes of both sources, plus binary cross-entropy over the 400 commonest
content words of the captions, the target being the share of an image's captions that hold the word.
"""

from __future__ import annotations

import collections
import re
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from . import checkpoint, data, features, targets
from .tower import FEATURE_SHAPE, Tower

WORDS = 400
SEED = 1
BATCH = 64
TAIL_RATE = 6e-4
HEAD_RATE = 2e-3
WORD_WEIGHT = 12.0


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
    """Class and word logits from pooled features; used in this stage only."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.2)
        self.classes = nn.Linear(FEATURE_SHAPE[-1], len(data.CLASS_KEYS))
        self.words = nn.Linear(FEATURE_SHAPE[-1], WORDS)
        nn.init.constant_(self.words.bias, -3.0)

    def forward(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        """Features [n, 7, 7, 1280] -> logits [n, 51], [n, 400]."""
        pooled = self.dropout(grid.float().mean((1, 2)))
        return self.classes(pooled), self.words(pooled)


def batch_maps(maps: np.memmap, done: np.memmap, rows: list[int], rng: np.random.Generator | None) -> Tensor:
    """Cached maps as bf16 NCHW (channels last) [n, 120, 14, 14]; a random cached variant each when `rng` is given."""
    picked = []
    for row in rows:
        options = np.flatnonzero(done[:, row]) if rng is not None else [0]
        picked.append(maps[int(rng.choice(options)) if rng is not None else 0, row])
    return torch.from_numpy(np.stack(picked)).to(torch.bfloat16).permute(0, 3, 1, 2)


@torch.no_grad()
def accuracy(tower: Tower, heads: Heads, maps: np.memmap, done: np.memmap, samples: list[data.Sample]) -> float:
    """Share of `samples` whose class is the arg-max among the classes of their own source."""
    tower.eval(), heads.eval()
    right = known = 0
    for start in range(0, len(samples), BATCH):
        batch = [s for s in samples[start : start + BATCH] if s.scene is not None]
        with torch.autocast("cpu", torch.bfloat16):
            grid = tower.tail(batch_maps(maps, done, [s.index for s in batch], None))
        logits, _ = heads(grid)
        for sample, row in zip(batch, logits, strict=True):
            own = torch.tensor([source == sample.source for source, _ in data.CLASS_KEYS])
            right += int(row.masked_fill(~own, -1e9).argmax()) == sample.label
            known += 1
    return right / max(known, 1)


def run(root: Path, work: Path, minutes: float = 6.0, seed: int = SEED) -> None:
    """Writes `tail.pt` in the working directory: the tuned tail, the heads, accuracies."""
    torch.manual_seed(seed)
    samples = data.load(root)
    maps, done = features.open_cache(work, len(samples))
    _, shares = word_targets(samples)
    train = [s.index for s in samples if s.split == "train" and done[0, s.index]]
    tower, heads = Tower(), Heads()
    tail_parameters = [p for module in tower.tail_modules() for p in module.parameters()]
    optimiser = torch.optim.AdamW(
        [{"params": tail_parameters, "base": TAIL_RATE}, {"params": heads.parameters(), "base": HEAD_RATE}],
        weight_decay=1e-2,
    )
    state = checkpoint.load(work / "tail.pt") or {"step": 0, "used": 0.0}
    if state["step"]:
        tower.net.load_state_dict(state["tail"], strict=False)
        heads.load_state_dict(state["heads"])
        optimiser.load_state_dict(state["optimiser"])
    step, budget = state["step"], checkpoint.Budget(minutes, state["used"])
    first, started = step, time.monotonic()
    rng = np.random.default_rng(seed + step)

    def snapshot() -> None:
        result = {
            "tail": tower.tail_state(),
            "heads": heads.state_dict(),
            "optimiser": optimiser.state_dict(),
            "step": step,
            "used": budget.used,
            "images": step * BATCH,
            "accuracy": {
                source: accuracy(
                    tower, heads, maps, done, [s for s in samples if s.source == source and s.split == "val"]
                )
                for source in ("rsicd", "ucm")
            },
        }
        print("validation class accuracy:", result["accuracy"], flush=True)
        checkpoint.save(work / "tail.pt", result)

    for rows in checkpoint.shuffled(train, BATCH, seed, skip=step):
        if budget.spent:
            break
        tower.train(), heads.train()
        factor = checkpoint.cosine(budget.progress, warm=0.05)
        for group in optimiser.param_groups:
            group["lr"] = group["base"] * factor
        with torch.autocast("cpu", torch.bfloat16):
            grid = tower.tail(batch_maps(maps, done, rows, rng))
        classes, words = heads(grid)
        labels = torch.tensor([samples[r].label for r in rows])
        class_loss = functional.cross_entropy(classes, labels, label_smoothing=0.1, ignore_index=-100)
        word_loss = functional.binary_cross_entropy_with_logits(words, torch.from_numpy(shares[rows]))
        optimiser.zero_grad()
        (class_loss + WORD_WEIGHT * word_loss).backward()
        optimiser.step()
        step += 1
        if step % 20 == 0:
            rate = (step - first) * BATCH / (time.monotonic() - started)
            print(
                f"{time.strftime('%H:%M:%S')} step {step} class {class_loss:.3f} words {word_loss:.4f} "
                f"{rate:.0f} images/s {100 * budget.progress:.0f} %",
                flush=True,
            )
        if budget.checkpoint_due():
            snapshot()
    snapshot()
