"""The self-critical stage (Rennie et al. 2017): stage 1 goes on with captions that the model samples itself, each
learnt in proportion to how much better it is than the image's other samples.

One packed tree serves an image: prefix and instruction once, the different samples as branches, and stage 1's
questions, so that answers are not forgotten. Every batch also holds ordinary trees of stage 1.
"""

from __future__ import annotations

import collections
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from . import checkpoint, data, model, parallel, pictures, questions, reward, save, stage1, targets, vision
from .language import Decoder, Pairs
from .loop import Group, Limit, Loop
from .packing import Node, pack
from .sampling import Sampler

SEED = 4
BATCH = 24  # images whose captions are sampled
ORDINARY = 8  # images more in each batch, with stage 1's trees
SAMPLES = 5
LONGEST = 36  # tokens of a sample, the end token included
TEMPERATURE = 1.0
DELTA_RATE = 4e-4
CONNECTOR_RATE = 2e-4
ORDINARY_WEIGHT = 0.5  # of a token of stage 1's loss, against a sampled token
SPREAD = {"rsicd": 1.2, "ucm": 2.2}  # advantages are divided by it: their usual standard deviation
JUDGED = 96  # held-back images of each source for the line at each checkpoint


@dataclass(frozen=True)
class Plan:
    """What is learnt about one image."""

    sample: data.Sample
    nodes: list[Node]  # stage 1's tree; of sampled images without the human captions
    sampled: bool
    fixed: bool  # the image must not be mirrored or turned


class Learner:
    """Samples, rewards and losses; knows images only by the connector's input."""

    def __init__(
        self, samples: list[data.Sample], language: model.Language, decoder: Decoder, delta: Pairs, connector: nn.Module
    ) -> None:
        self.samples, self._language, self._decoder = samples, language, decoder
        self._delta, self._connector = delta, connector
        self._head = decoder.embedding[language.shortlist]
        self._sampler = Sampler(decoder, language.shortlist, language.segments.end)
        self._presence = questions.Presence(samples)
        self._rewards = reward.Rewards(samples)
        segments = language.segments
        instruction = [*segments.turn_end(targets.CAPTION_INSTRUCTION), *segments.header("assistant")]
        self._prompt = torch.tensor([*segments.prefix(), *instruction])

    def plan(self, row: int, sampled: bool, draw: random.Random) -> Plan:
        """Draws the questions of one image."""
        nodes, fixed = stage1.tree(self.samples[row], self._language.segments, self._presence, draw)
        if sampled:  # captions hang on the instruction, questions on the prefix
            nodes = nodes[:2] + [node for node in nodes[2:] if node.parent == 0]
        return Plan(self.samples[row], nodes, sampled, fixed)

    def write(self, image: Tensor, count: int, temperature: float) -> list[list[list[int]]]:
        """`count` captions of each image. image [n, image tokens, hidden]."""
        ids = self._prompt.expand(len(image), -1)
        x = self._decoder.embed(ids, image, self._language.segments.image_at)
        return self._sampler.write(x, count, LONGEST, temperature)

    def text(self, ids: list[int]) -> str:
        """Detokenized and stripped."""
        return self._language.segments.detokenize(ids).strip()

    def ended(self, ids: list[int]) -> bool:
        """Whether a sample has its end token."""
        return ids[-1] == self._language.segments.end

    def loss(self, plans: list[Plan], features: Tensor) -> tuple[Tensor, float, dict[str, tuple[float, float]]]:
        """Sampled images first. features: the connector's input. Summed loss, summed weight, figures for the log."""
        image = self._connector(features)
        drawing = [plan for plan in plans if plan.sampled]
        self._sampler.refresh(self._delta)
        written = self.write(image[: len(drawing)].detach(), SAMPLES, TEMPERATURE)
        worth = [
            [self._rewards.worth(self.text(ids), self.ended(ids), plan.sample) for ids in each]
            for plan, each in zip(drawing, written, strict=True)
        ]
        gains = reward.advantages(torch.tensor([[w.total for w in each] for each in worth]))
        trees, flags = [], []
        for i, plan in enumerate(plans):
            branches = grown(written[i], gains[i] / SPREAD[plan.sample.source]) if plan.sampled else []
            nodes = plan.nodes[:2] + branches + plan.nodes[2:]
            trees.append(nodes)
            kinds = [
                "sample" if 1 < at < 2 + len(branches) else "caption" if node.parent else "answer"
                for at, node in enumerate(nodes)
            ]
            flags += [kind for kind, node in zip(kinds, nodes, strict=True) for _ in range(learnt(node))]
        batch = pack(trees, self._language.columns, self._language.segments.pad, multiple=8)
        x = self._decoder.embed(batch.ids, image, self._language.segments.image_at)
        hidden = self._decoder(x, batch.positions, batch.visible, self._delta)
        own = torch.tensor([flag == "sample" for flag in flags])
        answer = torch.tensor([flag == "answer" for flag in flags if flag != "sample"])
        human = replace(batch, rows=batch.rows[~own], targets=batch.targets[~own], weights=batch.weights[~own])
        ordinary, plain = model.token_loss(hidden, self._head, human)
        logits = functional.linear(hidden.flatten(0, 1)[batch.rows[own]], self._head).float()
        surprise = functional.cross_entropy(logits, batch.targets[own], reduction="none")
        loss = (surprise * batch.weights[own]).sum() + ORDINARY_WEIGHT * ordinary
        tokens = sum(len(ids) for each in written for ids in each)
        weight = tokens + ORDINARY_WEIGHT * float(human.weights.sum())
        shown = figures(drawing, worth, gains, written)
        shown["captions"] = float(plain[~answer].sum()), float((~answer).sum())
        shown["answers"] = float(plain[answer].sum()), float(answer.sum())
        return loss, weight, shown

    def judge(self, chosen: list[data.Sample], image: Tensor) -> tuple[dict[str, float], list[str]]:
        """Figures and greedy captions of held-back images of one source; CIDEr has these images' frequencies."""
        self._sampler.refresh(self._delta)
        written = [ids for (ids,) in self.write(image, 1, 0.0)]
        texts = [self.text(ids) for ids in written]
        corpus = reward.Corpus([s.captions for s in chosen])
        worth = [
            self._rewards.worth(text, self.ended(ids), s) for text, ids, s in zip(texts, written, chosen, strict=True)
        ]
        found = {
            "CIDEr": [corpus.cider(text, s.captions) for text, s in zip(texts, chosen, strict=True)],
            "copies": [w.copied for w in worth],
            "objects": [reward.object_f1(texts, [s.captions for s in chosen])],
            "broken": [w.broken for w in worth],
            "words": [len(text.split()) for text in texts],
        }
        return {name: float(np.mean(values)) for name, values in found.items()}, texts


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
    plans: list[Plan], worth: list[list[reward.Worth]], gains: Tensor, written: list[list[list[int]]]
) -> dict[str, tuple[float, float]]:
    """(sum, count) pairs for the log: rewards by source, the spread of advantages, copies of RSICD, lengths."""
    shown: dict[str, tuple[float, float]] = {}
    for source in SPREAD:
        of = [i for i, plan in enumerate(plans) if plan.sample.source == source]
        each = [w for i in of for w in worth[i]]
        count = float(len(each))
        shown[f"{source} reward"] = sum(w.total for w in each), count
        shown[f"{source} CIDEr"] = sum(w.cider for w in each), count
        shown[f"{source} objects"] = sum(w.objects for w in each), count
        shown[f"{source} copies"] = float(sum(w.copied for w in each)), count
        shown[f"{source} variance"] = float(gains[of].square().sum()), count
    everything = [w for each in worth for w in each]
    shown["broken"] = float(sum(w.broken for w in everything)), float(len(everything))
    shown["tokens"] = float(sum(len(ids) for each in written for ids in each)), float(len(everything))
    return shown


def judged(samples: list[data.Sample], source: str) -> list[data.Sample]:
    """Held-back images of one source, of RSICD those with at least four different captions."""
    chosen = [s for s in samples if s.split == "val" and s.source == source]
    if source == "rsicd":
        chosen = [s for s in chosen if len({tuple(reward.words(c)) for c in s.captions}) >= 4]
    return chosen[:: max(1, len(chosen) // JUDGED)][:JUDGED]


def report(learner: Learner, embed: Callable[[list[int]], Tensor]) -> str:
    """One line on held-back images; `embed` gives the image embeddings of row numbers."""
    lines = []
    for source in SPREAD:
        chosen = judged(learner.samples, source)
        with torch.no_grad():
            found, texts = learner.judge(chosen, embed([s.index for s in chosen]))
        lines.append(f"{source} greedy: " + " ".join(f"{k} {v:.3f}" for k, v in found.items()) + f"; {texts[:3]}")
    return "\n".join(lines)


def train(team: parallel.Team, root: Path, work: Path, out: Path | None, limit: Limit, seed: int = SEED) -> None:
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
    learner = Learner(samples, language, Decoder(language.shape, language.tensors), delta, connector)
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

    seen: dict[int, Tensor] = {}  # features of the held-back images

    def embed(rows: list[int]) -> Tensor:
        for row in rows:
            if row not in seen:
                seen[row] = tower(pictures.plain(cache, [row], None, rng))
        return connector(torch.cat([seen[row] for row in rows]))

    def write() -> None:
        loop.say(report(learner, embed))
        if out is not None:
            save.write(work, out, language.shape)

    everything = data.training_rows(samples, stage1.UCM_REPEATS)
    sampled = [row for row in data.training_rows(samples, 1) if reward.varied(samples[row])]
    own = checkpoint.shuffled(sampled, BATCH, seed, skip=loop.step)
    others = checkpoint.shuffled(everything, ORDINARY, seed + 1, skip=loop.step)
    if not loop.step and team.leads:
        loop.say(report(learner, embed))
    for rows, more in zip(own, others, strict=True):
        if loop.over:
            break
        plans = [learner.plan(row, True, draw) for row in team.share(rows)]
        plans += [learner.plan(row, False, draw) for row in team.share(more)]
        # changed views: the captions of an image as it is are known by heart, and reciting them would pay
        views = [pictures.strong(cache, [p.sample.index for p in plans if p.sampled], rng)]
        rest = [p for p in plans if not p.sampled]
        views.append(pictures.plain(cache, [p.sample.index for p in rest], [p.fixed for p in rest], rng))
        with torch.no_grad():
            features = tower(torch.cat(views))
        loop.update(*learner.loss(plans, features))
        loop.save(extra, write)
    loop.save(extra, write, now=True)


def run(root: Path, work: Path, out: Path | None, limit: Limit) -> None:
    """Trains until the limit, over all runs."""
    parallel.launch(train, (root, work, out, limit))
