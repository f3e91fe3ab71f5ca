"""Stage 1: connector and base delta learn whole captions and answers to questions."""

from __future__ import annotations

import collections
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from . import checkpoint, data, model, parallel, pictures, questions, save, targets, vision
from .connector import Connector
from .language import Decoder, Pairs
from .loop import Group, Limit, Loop
from .packing import Node, Segments, pack

SEED = 2
RANK = 48
BATCH = 16
GROUP = 4  # batches that are drawn together and sorted by length
UCM_REPEATS = 2  # UCM is a seventh of the images; each pass sees it twice
DELTA_RATE = 2e-3
CONNECTOR_RATE = 1e-3
QUESTION_WEIGHT = 1.5  # against 1 for a caption, and the root of its number for a repeated one
CONNECTOR_WIDTH = 512


def tree(
    sample: data.Sample,
    segments: Segments,
    presence: questions.Presence | None,
    rng: random.Random,
    captions: list[str] | None = None,
) -> tuple[list[Node], bool]:
    """The packed tree of one image, and whether some text of it forbids mirroring and turning.

    Without `presence` (it knows training images only) nothing is asked. `captions` replace the sample's own.
    """
    said = collections.Counter(targets.tidy(c) for c in captions or sample.captions)
    nodes = [
        Node(-1, segments.prefix()),
        Node(0, [*segments.turn_end(targets.CAPTION_INSTRUCTION), *segments.header("assistant")]),
    ]
    nodes += [Node(1, segments.answer(text), learnt_from=0, weight=n**0.5) for text, n in said.items()]
    asked = questions.choose(sample, presence, rng) if presence else []
    for question in asked:
        opening = [*segments.turn_end(question.text), *segments.header("assistant")]
        ids = [*opening, *segments.answer(question.answer)]
        nodes.append(Node(0, ids, learnt_from=len(opening), weight=QUESTION_WEIGHT))
    fixed = any(targets.oriented(text) for text in said) or any("location" in q.text for q in asked)
    return nodes, fixed


def sorted_batches(
    rows: Iterator[list[int]], make: Callable[[int], tuple[list[Node], bool]], size: int = BATCH
) -> Iterator[tuple]:
    """(rows, trees, fixed flags) of equal length classes: groups are sorted by tree length, then cut."""
    for group in rows:
        made = sorted(((row, *make(row)) for row in group), key=lambda m: sum(len(n.ids) for n in m[1]))
        batches = [made[i : i + size] for i in range(0, len(made), size)]
        random.Random(group[0]).shuffle(batches)
        for batch in batches:
            yield tuple(zip(*batch, strict=True))


def train(team: parallel.Team, root: Path, work: Path, out: Path | None, limit: Limit, seed: int = SEED) -> None:
    """One process of the team. Writes `stage1.pt`; with `out`, refreshes the weight files at each checkpoint."""
    torch.manual_seed(seed)
    samples = data.load(root)
    cache = pictures.open_cache(work, samples)
    language = model.language(work, samples)
    tower, heads = vision.tuned(work)
    presence = questions.Presence(samples)
    decoder = Decoder(language.shape, language.tensors)
    head = decoder.embedding[language.shortlist]
    delta = Pairs(language.shape, RANK)
    connector = Connector(CONNECTOR_WIDTH, language.shape.hidden, float(language.tensors["embedding"].std()))
    connector.begin(heads, model.concept_start(language, vision.word_targets(samples)[0]))
    loop = Loop(
        team,
        work / "stage1.pt",
        {"delta": delta, "connector": connector},
        [Group(delta.parameters(), DELTA_RATE), Group(connector.tuned(), CONNECTOR_RATE, 0.01)],
        limit,
        BATCH,
    )
    # the trees must be the same in all processes, the drawn variants need not
    choices, rng = random.Random(seed + loop.step), np.random.default_rng((seed + loop.step) * 8 + team.rank)
    extra = {"connector_scale": connector.scale}

    def write() -> None:
        if out is not None:
            save.write(work, out, language.shape)

    groups = checkpoint.shuffled(
        data.training_rows(samples, UCM_REPEATS), BATCH * GROUP, seed, skip=-(-loop.step // GROUP)
    )
    batches = sorted_batches(groups, lambda row: tree(samples[row], language.segments, presence, choices))
    for rows, trees, fixed in (map(team.share, batch) for batch in batches):
        if loop.over:
            break
        batch = pack(trees, language.columns, language.segments.pad, multiple=8)
        with torch.no_grad():
            grid = tower(pictures.plain(cache, rows, fixed, rng))
        x = decoder.embed(batch.ids, connector(grid), language.segments.image_at)
        hidden = decoder(x, batch.positions, batch.visible, delta)
        loss, plain = model.token_loss(hidden, head, batch)
        loop.update(loss, float(batch.weights.sum()), {"loss": (float(plain.sum()), float(len(plain)))})
        loop.save(extra, write)
    loop.save(extra, write, now=True)


def run(root: Path, work: Path, out: Path | None, limit: Limit) -> None:
    """Trains until the limit, over all runs."""
    parallel.launch(train, (root, work, out, limit))
