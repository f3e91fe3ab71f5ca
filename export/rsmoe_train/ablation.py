"""Ablations: variants of the recipe on the same data for the same number of steps, judged by what they say of held-back
images. Each arm writes weight files that `rsmoe_export` builds, where the runtime can express it, and `losses.json`.

- `three`: the recipe's stage 2.
- `one-expert`: a single expert of the three experts' summed rank writes theme, objects and relationship in one text.
- `ordinary`: the adapters are on from the first token (ordinary LoRA), so no prefix is shared. No weight files: the
  runtime shares prefixes.
- `one-stage`: delta, connector and adapters are all learnt at once from the public weights.
- `two-stage`: stage 1, then `three`, for as many steps in all as `one-stage`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from . import checkpoint, data, model, parallel, pictures, questions, save, stage1, stage2, targets, vision
from .connector import Connector
from .goals import Goals
from .language import Decoder, Pairs
from .loop import Group, Limit, Loop
from .packing import Node, pack

ARMS = ("three", "one-expert", "ordinary", "one-stage", "two-stage")
SEED = 5
JUDGED = 200  # held-back images for the losses
WHOLE = len(save.ADAPTERS)  # number of the single expert that uses all experts' ranks
WHOLE_PROMPT = "Name the scene, list the objects and describe how they are arranged."


def rank_mask(adapter: Tensor, always: int = 0) -> Tensor:
    """`stage2.rank_mask`; the single expert has all experts' ranks, and `always` more ranks are on everywhere."""
    mask = stage2.rank_mask(adapter)
    mask[..., save.ADAPTER_RANK :] += (adapter == WHOLE)[..., None].float()
    return torch.cat((torch.ones(*adapter.shape, always), mask), -1)


def forest(arm: str, nodes: list[Node], texts: Iterable[str], language: model.Language) -> list[list[Node]]:
    """The trees of one image, made from stage 2's (prefix, instruction, router, experts) and the experts' texts."""
    if arm == "one-expert":
        segments = language.segments
        text = "\n".join(texts)
        opening = [*segments.header("user"), *segments.turn_end(WHOLE_PROMPT), *segments.header("assistant")]
        ids = [*opening, *segments.answer(text)]
        return [[*nodes[:2], Node(1, ids, adapter=WHOLE, learnt_from=len(opening))]]
    if arm == "ordinary":
        return [[*(Node(n.parent, n.ids, branch.adapter) for n in nodes[:2]), branch] for branch in nodes[2:]]
    return [nodes]


class Arm:
    """One arm's modules and its loss on a batch of images."""

    def __init__(self, arm: str, root: Path, work: Path, source: Path) -> None:
        """`source`: weight files whose stage 1 is started from; not read by `one-stage`."""
        self.arm = arm
        self.samples = data.load(root)
        self.cache = pictures.open_cache(work, self.samples)
        self.language = model.language(work, self.samples)
        shape, rank = self.language.shape, save.ADAPTER_RANK * len(save.ADAPTERS)
        self.goals = Goals.find(work, self.samples)
        self.presence = questions.Presence(self.samples)
        self.always = 0
        if arm == "one-stage":
            self.tower, heads = vision.tuned(work)
            scale = float(self.language.tensors["embedding"].std())
            self.connector = Connector(stage1.CONNECTOR_WIDTH, shape.hidden, scale)
            self.connector.begin(heads, model.concept_start(self.language, vision.word_targets(self.samples)[0]))
            self.always = stage1.RANK
            self.decoder = Decoder(shape, self.language.tensors)
        else:
            trained = save.read(source, shape, self.language.tensors)
            self.tower, self.connector = trained.tower, trained.connector.requires_grad_(False)
            self.decoder = Decoder(shape, trained.tensors)
        self.pairs = Pairs(shape, self.always + rank)
        self.head = self.decoder.embedding[self.language.shortlist]

    def trees(self, row: int, other: int, draw: random.Random) -> tuple[list[list[Node]], bool]:
        """One image's trees, and whether it must stay as it is."""
        sample, segments = self.samples[row], self.language.segments
        nodes, fixed = stage2.tree(row, other, self.goals, segments, draw)
        if self.arm == "one-stage":
            presence = self.presence if sample.split == "train" else None
            first, also_fixed = stage1.tree(sample, segments, presence, draw)
            fixed = fixed or also_fixed
            moved = [
                Node(0 if n.parent == 0 else len(first), n.ids, n.adapter, n.learnt_from, n.weight) for n in nodes[1:]
            ]
            return [[*first, *moved]], fixed
        return forest(self.arm, nodes, self.goals.experts(row).values(), self.language), fixed

    def writable(self, row: int, forest: list[list[Node]]) -> bool:
        """Whether the head has all words of the texts, and of the captions that they are made from (so that all arms
        are judged on the same images): held-back ones may have others.
        """
        captions, _ = stage1.tree(self.samples[row], self.language.segments, None, random.Random(SEED))
        learnt = [n.ids[n.learnt_from :] for ns in [*forest, captions] for n in ns if n.learnt_from is not None]
        return bool((self.language.columns[np.concatenate(learnt)] >= 0).all())

    def loss(self, rows: list[int], made: list[tuple[list[list[Node]], bool]], rng: np.random.Generator):
        """Summed loss, summed weight, and each adapter's plain losses (the base's under "captions")."""
        trees = [tree for forest, _ in made for tree in forest]
        owner = torch.tensor([i for i, (forest, _) in enumerate(made) for _ in forest])
        batch = pack(trees, self.language.columns, self.language.segments.pad, multiple=8)
        with torch.no_grad():
            grid = self.tower(pictures.plain(self.cache, rows, [fixed for _, fixed in made], rng))
        image = self.connector(grid)[owner]
        x = self.decoder.embed(batch.ids, image, self.language.segments.image_at)
        mask = rank_mask(batch.adapter, self.always)
        hidden = self.decoder(x, batch.positions, batch.visible, self.pairs, mask)
        total, plain = model.token_loss(hidden, self.head, batch)
        adapter = batch.adapter.flatten()[batch.rows + 1]
        names = {-1: "captions", WHOLE: "whole", **dict(enumerate(save.ADAPTERS))}
        own = {name: plain[adapter == k] for k, name in names.items()}
        return total, float(batch.weights.sum()), {n: (float(p.sum()), float(len(p))) for n, p in own.items()}


def train(team: parallel.Team, arm: str, root: Path, work: Path, source: Path, out: Path, limit: Limit) -> None:
    """One process of the team: trains one arm and writes `out`."""
    torch.manual_seed(SEED)
    made = Arm(arm, root, work, source)
    modules = {"pairs": made.pairs}
    groups = [Group(made.pairs.parameters(), stage1.DELTA_RATE if arm == "one-stage" else stage2.ADAPTER_RATE)]
    if arm == "one-stage":
        modules["connector"] = made.connector
        groups.append(Group(made.connector.tuned(), stage1.CONNECTOR_RATE, 0.01))
    out.mkdir(parents=True, exist_ok=True)
    loop = Loop(team, out / "ablation.pt", modules, groups, limit, stage1.BATCH)
    rows_of_pass = data.training_rows(made.samples, stage1.UCM_REPEATS)
    draw, rng = random.Random(SEED + loop.step), np.random.default_rng((SEED + loop.step) * 8 + team.rank)
    for rows in checkpoint.shuffled(rows_of_pass, stage1.BATCH, SEED, skip=loop.step):
        if loop.over:
            break
        each = [(row, made.trees(row, draw.choice(rows_of_pass), draw)) for row in rows]
        mine = team.share(each)
        loop.update(*made.loss([row for row, _ in mine], [trees for _, trees in mine], rng))
        loop.save({})
    loop.save({}, now=True)
    if team.leads:
        finish(made, work, source, out, limit)


def finish(made: Arm, work: Path, source: Path, out: Path, limit: Limit) -> None:
    """Held-back losses, and weight files where the runtime can run the arm."""
    rows = [s.index for s in made.samples if s.split == "val"][:: max(1, 600 // JUDGED)]
    draw, rng, sums = random.Random(SEED), np.random.default_rng(SEED), {}
    drawn = {row: made.trees(row, draw.choice(rows), draw)[0] for row in rows}
    drawn = {row: forest for row, forest in drawn.items() if made.writable(row, forest)}
    rows = list(drawn)
    with torch.no_grad():
        for start in range(0, len(rows), 8):
            part = rows[start : start + 8]
            for name, (total, count) in made.loss(part, [(drawn[row], True) for row in part], rng)[2].items():
                have = sums.setdefault(name, [0.0, 0.0])
                have[0] += total
                have[1] += count
    experts = [sums[name] for name in targets.EXPERTS if name in sums]
    sums["all experts"] = [sum(part) for part in zip(*experts, strict=True)] or [0.0, 0.0]  # to stand beside "whole"
    losses = {name: total / count for name, (total, count) in sums.items() if count}
    record = {"arm": made.arm, "steps": limit.steps, "images": len(rows), "losses": losses}
    (out / "losses.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(made.arm, " ".join(f"{name} {value:.3f}" for name, value in losses.items()), flush=True)
    if made.arm == "ordinary":
        return
    shape = made.language.shape
    parts, _ = save.gather(work, shape)
    named = made.pairs.named()
    adapters = {k: v[:, made.always :] if k.endswith(".a") else v[made.always :] for k, v in named.items()}
    split = save.split_adapters(adapters)
    changes: dict[str, object] = {"adapters": split}
    if made.arm == "one-expert":
        changes["adapters"] = whole(split)
    if made.arm == "one-stage":
        delta = Pairs(shape, made.always)
        delta.load_state_dict(
            {
                f"values.{k.replace('.', '_')}": v[:, : made.always] if k.endswith(".a") else v[: made.always]
                for k, v in named.items()
            }
        )
        changes |= {"delta": delta, "connector": made.connector}
    save.write_parts(parts.replaced(**changes), out, {"ablation": record})


def whole(split: dict[str, Tensor]) -> dict[str, Tensor]:
    """The single expert's adapter: the three experts' ranks side by side."""
    result = {}
    for key in [k.removeprefix("theme.") for k in split if k.startswith("theme.")]:
        own = [split[f"{expert}.{key}"] for expert in targets.EXPERTS]
        result[f"whole.{key}"] = torch.cat(own, 1 if key.endswith(".a") else 0)
    return result


def run(arm: str, root: Path, work: Path, source: Path, out: Path, limit: Limit) -> None:
    """Trains one arm; `two-stage` spends two thirds of its steps on stage 1, in `out` itself."""
    if arm not in ARMS:
        raise SystemExit(f"--arm: expected one of {', '.join(ARMS)}, found {arm}")
    Goals.find(work, data.load(root))  # before the team, each of which would look for itself
    if arm != "two-stage":
        parallel.launch(train, (arm, root, work, source, out, limit))
        return
    out.mkdir(parents=True, exist_ok=True)
    for name in ("pictures.u8", "vision.pt", "familiarity.pt", "vocabulary.pt", "neighbours.pt", "tokenizer.json"):
        if (work / name).exists() and not (out / name).exists():
            (out / name).symlink_to((work / name).resolve())
    first = limit.steps * 2 // 3
    stage1.run(root, out, out / "stage1", Limit(steps=first))
    parallel.launch(train, ("three", root, out, out / "stage1", out / "stage2", Limit(steps=limit.steps - first)))
