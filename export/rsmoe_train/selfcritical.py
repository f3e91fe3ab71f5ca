"""The self-critical stage (Rennie et al. 2017): stage 1 goes on with captions that the model samples itself, each
learnt in proportion to how much better it is than the image's other samples.

One packed tree serves an image: prefix and instruction once, the different samples as branches, and stage 1's
questions, so that answers are not forgotten. Every batch also holds trees of stage 1, of two kinds. Images of RSICD
have their human captions. Those of UCM, which come in a few kinds that are much alike, have one: what they and their
neighbours agree on (`agreement.py`). A reward is slow to find that sentence, and of UCM none is sampled.
"""

from __future__ import annotations

import collections
import random
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from . import checkpoint, data, judging, model, neighbours, parallel, pictures, questions, reward, save, stage1, vision
from .agreement import Agreement
from .language import Decoder, Pairs
from .loop import Group, Limit, Loop
from .packing import Node, pack
from .writer import Writer

SEED = 4
BATCH = 16  # images of RSICD whose captions are sampled
AGREED = 10  # images of UCM more in each batch, with their consensus
HUMAN = 4  # images of RSICD more, with their captions
SAMPLES = 5
TEMPERATURE = 1.0
DELTA_RATE = 4e-4
CONNECTOR_RATE = 2e-4
HUMAN_WEIGHT = 0.5  # of a token of stage 1's loss, against a sampled token
AGREED_WEIGHT = 3.0  # of a token of a consensus caption
SPREAD = 0.8  # advantages are divided by it: their usual standard deviation


@dataclass(frozen=True)
class Plan:
    """What is learnt about one image."""

    sample: data.Sample
    nodes: list[Node]  # stage 1's tree; samples take the place of captions later, a consensus has taken it already
    sampled: bool
    changed: bool  # whether it is seen cropped, blurred or tinted, since its captions as it is are known by heart
    fixed: bool  # an unchanged image must not be mirrored or turned


class Learner:
    """Samples, rewards and losses; knows images only by the connector's input."""

    def __init__(
        self,
        samples: list[data.Sample],
        language: model.Language,
        decoder: Decoder,
        delta: Pairs,
        connector: nn.Module,
        agreement: Agreement,
        agreed: dict[int, str],
    ) -> None:
        """`agreed`: consensus captions by row."""
        self.samples, self._language, self._decoder = samples, language, decoder
        self.delta, self.connector, self._agreed = delta, connector, agreed
        self._head = decoder.embedding[language.shortlist]
        self.writer = Writer(language, decoder, delta)
        self._presence = questions.Presence(samples)
        self.rewards = reward.Rewards(samples, agreement)

    def plan(self, row: int, sampled: bool, draw: random.Random) -> Plan:
        """Draws the questions of one image."""
        agreed = [self._agreed[row]] if row in self._agreed else None
        sample, segments = self.samples[row], self._language.segments
        nodes, fixed = stage1.tree(sample, segments, self._presence, draw, agreed)
        head, rest = nodes[:2], nodes[2:]  # captions hang on the instruction, questions on the prefix
        if sampled:
            rest = [node for node in rest if node.parent == 0]
        elif agreed:
            rest = [replace(node, weight=AGREED_WEIGHT / HUMAN_WEIGHT) if node.parent else node for node in rest]
        return Plan(sample, head + rest, sampled, sampled or agreed is not None, fixed)

    def loss(self, plans: list[Plan], features: Tensor) -> tuple[Tensor, float, dict[str, tuple[float, float]]]:
        """Sampled images first. features: the connector's input. Summed loss, summed weight, figures for the log."""
        image = self.connector(features)
        drawing = [plan for plan in plans if plan.sampled]
        self.writer.refresh()
        written = self.writer.write(image[: len(drawing)].detach(), SAMPLES, TEMPERATURE)
        worth = [
            [self.rewards.worth(self.writer.text(ids), self.writer.ended(ids), plan.sample.index) for ids in each]
            for plan, each in zip(drawing, written, strict=True)
        ]
        gains = reward.advantages(torch.tensor([[w.total for w in each] for each in worth]))
        trees, flags = [], []
        for i, plan in enumerate(plans):
            branches = grown(written[i], gains[i] / SPREAD) if plan.sampled else []
            nodes = plan.nodes[:2] + branches + plan.nodes[2:]
            trees.append(nodes)
            kinds = [
                "sample" if 1 < at < 2 + len(branches) else "caption" if node.parent else "answer"
                for at, node in enumerate(nodes)
            ]
            flags += [kind for kind, node in zip(kinds, nodes, strict=True) for _ in range(learnt(node))]
        batch = pack(trees, self._language.columns, self._language.segments.pad, multiple=8)
        x = self._decoder.embed(batch.ids, image, self._language.segments.image_at)
        hidden = self._decoder(x, batch.positions, batch.visible, self.delta)
        own = torch.tensor([flag == "sample" for flag in flags])
        answer = torch.tensor([flag == "answer" for flag in flags if flag != "sample"])
        human = replace(batch, rows=batch.rows[~own], targets=batch.targets[~own], weights=batch.weights[~own])
        ordinary, plain = model.token_loss(hidden, self._head, human)
        logits = functional.linear(hidden.flatten(0, 1)[batch.rows[own]], self._head).float()
        surprise = functional.cross_entropy(logits, batch.targets[own], reduction="none")
        loss = (surprise * batch.weights[own]).sum() + HUMAN_WEIGHT * ordinary
        tokens = sum(len(ids) for each in written for ids in each)
        weight = tokens + HUMAN_WEIGHT * float(human.weights.sum())
        shown = figures(worth, gains, written)
        shown["captions"] = float(plain[~answer].sum()), float((~answer).sum())
        shown["answers"] = float(plain[answer].sum()), float(answer.sum())
        return loss, weight, shown


def learnt(node: Node) -> int:
    """How many of a node's tokens are learnt."""
    return 0 if node.learnt_from is None else len(node.ids) - node.learnt_from


def grown(written: list[list[int]], gains: Tensor) -> list[Node]:
    """An image's different samples as branches of its instruction; gains f32 [samples]. Equal ones share a branch."""
    sums: dict[tuple[int, ...], float] = collections.defaultdict(float)
    for ids, gain in zip(written, gains.tolist(), strict=True):
        sums[tuple(ids)] += gain
    return [Node(1, list(ids), learnt_from=0, weight=gain) for ids, gain in sums.items() if gain]


def figures(
    worth: list[list[reward.Worth]], gains: Tensor, written: list[list[list[int]]]
) -> dict[str, tuple[float, float]]:
    """(sum, count) pairs for the log: rewards, the spread of advantages, copies, lengths."""
    each = [w for many in worth for w in many]
    count = float(len(each))
    return {
        "reward": (sum(w.total for w in each), count),
        "CIDEr": (sum(w.cider for w in each), count),
        "objects": (sum(w.objects for w in each), count),
        "copies": (float(sum(w.copied for w in each)), count),
        "variance": (float(gains.square().sum()), count),
        "broken": (float(sum(w.broken for w in each)), count),
        "tokens": (float(sum(len(ids) for many in written for ids in many)), count),
    }


def train(
    team: parallel.Team,
    root: Path,
    work: Path,
    out: Path | None,
    limit: Limit,
    agreed: dict[int, str],
    seed: int = SEED,
) -> None:
    """One process of the team. Starts from `stage1.pt`, writes `selfcritical.pt`."""
    torch.manual_seed(seed * 8 + team.rank)
    samples = data.load(root)
    cache = pictures.open_cache(work, samples)
    language = model.language(work, samples)
    tower, _ = vision.tuned(work)
    first = checkpoint.load(work / "stage1.pt")
    if first is None:
        raise SystemExit(f"{work} holds no stage1.pt: run stage 1 first")
    connector, delta = save.captioner(first, language.shape)
    agreement = Agreement(samples, neighbours.find(work, samples))
    decoder = Decoder(language.shape, language.tensors)
    learner = Learner(samples, language, decoder, delta, connector, agreement, agreed)
    loop = Loop(
        team,
        work / "selfcritical.pt",
        {"delta": delta, "connector": connector},
        [Group(delta.parameters(), DELTA_RATE), Group(connector.tuned(), CONNECTOR_RATE, 0.01)],
        limit,
        BATCH,
    )
    extra = {"connector_scale": connector.scale, "stage1_step": first["step"]}
    if loop.state.get("stage1_step", first["step"]) != first["step"]:
        raise SystemExit(f"stage 1 went on after {work / 'selfcritical.pt'} was started: remove that file")
    rng, draw = (kind((seed + loop.step) * 8 + team.rank) for kind in (np.random.default_rng, random.Random))

    judge = judging.Judge(
        samples,
        learner.rewards,
        lambda row: tower(pictures.plain(cache, [row], None, rng)),
        lambda features: learner.writer.greedy(connector(features)),
    )

    def write() -> None:
        if judge.due() or loop.over:
            loop.say(judge.report())
        if out is not None:
            save.write(work, out, language.shape)

    rsicd = [row for row in data.training_rows(samples, 1) if samples[row].source == "rsicd"]
    images = (
        ([row for row in rsicd if data.varied(samples[row])], BATCH, True),
        (sorted(agreed), AGREED, False),
        (rsicd, HUMAN, False),
    )
    streams = [checkpoint.shuffled(rows, count, seed + i, skip=loop.step) for i, (rows, count, _) in enumerate(images)]
    if not loop.step and team.leads:
        loop.say(judge.report())
    for batches in zip(*streams, strict=True):
        if loop.over:
            break
        plans = [
            learner.plan(row, sampled, draw)
            for rows, (_, _, sampled) in zip(batches, images, strict=True)
            for row in team.share(rows)
        ]
        changed = [p.sample.index for p in plans if p.changed]  # they come first
        rest = [p for p in plans if not p.changed]
        views = [
            pictures.strong(cache, changed, rng),
            pictures.plain(cache, [p.sample.index for p in rest], [p.fixed for p in rest], rng),
        ]
        with torch.no_grad():
            features = tower(torch.cat(views))
        loop.update(*learner.loss(plans, features))
        loop.save(extra, write)
    loop.save(extra, write, now=True)


def run(root: Path, work: Path, out: Path | None, limit: Limit) -> None:
    """Trains until the limit, over all runs."""
    samples = data.load(root)
    agreement = Agreement(samples, neighbours.find(work, samples))
    ucm = [row for row in data.training_rows(samples, 1) if samples[row].source == "ucm"]
    agreed = {row: agreement.sentence(row) for row in ucm}
    parallel.launch(train, (root, work, out, limit, agreed))
