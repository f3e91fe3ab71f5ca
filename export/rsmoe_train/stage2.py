"""Stage 2: router and expert adapters, all at once, on the frozen result of stage 1.

Prefix and instruction run through the bare base; each branch's tokens select their own adapter by a 0/1 mask over the
stacked ranks, exactly as the runtime does.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch

from . import checkpoint, data, model, parallel, pictures, save, targets
from .goals import Goals
from .language import Decoder, Pairs
from .loop import Group, Limit, Loop
from .packing import Node, Segments, pack
from .stage1 import UCM_REPEATS, sorted_batches

SEED = 3
BATCH = 8
GROUP = 8  # batches that are drawn together and sorted by length
ADAPTER_RATE = 3e-3
# How an expert is prompted in training: by the router's target line, by the fixed prompt, or by another image's line
# (so that a wrong hint does not force a wrong answer).
OWN, FIXED = 0.5, 0.3
THEME_WEIGHT = 2.0  # its answers are short


def rank_mask(adapter: torch.Tensor, adapters: int = len(save.ADAPTERS), rank: int = save.ADAPTER_RANK) -> torch.Tensor:
    """adapter int64 [n, t] -> f32 [n, t, adapters * rank]: 1 in the columns of the token's adapter."""
    chosen = adapter[..., None] == torch.arange(adapters)
    return chosen.float().repeat_interleave(rank, -1)


def tree(row: int, other: int, goals: Goals, segments: Segments, rng: random.Random) -> tuple[list[Node], bool]:
    """The packed tree of one image, and whether it must stay as it is; `other` lends the prompts that do not fit."""
    header = segments.header("router")
    own, borrowed, texts = goals.lines(row), goals.lines(other), goals.experts(row)
    nodes = [
        Node(-1, segments.prefix()),
        Node(0, segments.turn_end(targets.CAPTION_INSTRUCTION)),
        Node(1, [*header, *segments.answer(targets.router_text(own))], adapter=0, learnt_from=len(header)),
    ]
    for expert, text in texts.items():
        draw = rng.random()
        prompt = (own if draw < OWN else targets.FIXED_PROMPTS if draw < OWN + FIXED else borrowed)[expert]
        opening = [*segments.header("user"), *segments.turn_end(prompt), *segments.header("assistant")]
        nodes.append(
            Node(
                1,
                [*opening, *segments.answer(text)],
                adapter=save.ADAPTERS.index(expert),
                learnt_from=len(opening),
                weight=THEME_WEIGHT if expert == "theme" else 1.0,
            )
        )
    return nodes, targets.oriented(texts["relationship"])


def train(team: parallel.Team, root: Path, work: Path, out: Path, limit: Limit, seed: int = SEED) -> None:
    """One process of the team. Starts from the weight files in `out`, as they are shipped; writes `stage2.pt`."""
    torch.manual_seed(seed)
    samples = data.load(root)
    goals = Goals.find(work, samples)
    cache = pictures.open_cache(work, samples)
    language = model.language(work, samples)
    trained = save.read(out, language.shape, language.tensors)
    decoder = Decoder(language.shape, trained.tensors)
    head = decoder.embedding[language.shortlist]
    adapters = Pairs(language.shape, save.ADAPTER_RANK * len(save.ADAPTERS))
    loop = Loop(
        team, work / "stage2.pt", {"adapters": adapters}, [Group(adapters.parameters(), ADAPTER_RATE)], limit, BATCH
    )
    choices, rng = random.Random(seed + loop.step), np.random.default_rng((seed + loop.step) * 8 + team.rank)
    rows_of_pass = data.training_rows(samples, UCM_REPEATS)

    def write() -> None:
        save.write(work, out, language.shape)

    def make(row: int) -> tuple[list[Node], bool]:
        return tree(row, choices.choice(rows_of_pass), goals, language.segments, choices)

    groups = checkpoint.shuffled(rows_of_pass, BATCH * GROUP, seed, skip=-(-loop.step // GROUP))
    for rows, trees, fixed in (map(team.share, batch) for batch in sorted_batches(groups, make, BATCH)):
        if loop.over:
            break
        batch = pack(trees, language.columns, language.segments.pad, multiple=8)
        with torch.no_grad():
            grid = trained.tower(pictures.plain(cache, rows, fixed, rng))
            x = decoder.embed(batch.ids, trained.connector(grid), language.segments.image_at)
        hidden = decoder(x, batch.positions, batch.visible, adapters, rank_mask(batch.adapter))
        loss, plain = model.token_loss(hidden, head, batch)
        owner = batch.adapter.flatten()[batch.rows + 1]  # a learnt token follows its predictor in the same branch
        own = {name: plain[owner == k] for k, name in enumerate(save.ADAPTERS)}
        shown = {name: (float(part.sum()), float(len(part))) for name, part in own.items()}
        loop.update(loss, float(batch.weights.sum()), shown)
        loop.save({}, write)
    loop.save({}, write, now=True)


def run(root: Path, work: Path, out: Path, limit: Limit) -> None:
    """Trains until the limit, over all runs."""
    Goals.find(work, data.load(root))  # before the team, each of which would look for itself
    parallel.launch(train, (root, work, out, limit))
