"""Stage 2: router and expert adapters, all at once, on the frozen result of stage 1.

Prefix and instruction run through the bare base; each branch's tokens select their own adapter by a 0/1 mask over the
stacked ranks, exactly as the runtime does.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import numpy as np
import torch

from . import checkpoint, data, model, parallel, pictures, save, targets
from .language import Decoder, Pairs
from .packing import Node, Segments, pack
from .stage1 import sorted_batches, training_rows

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


def expert_texts(sample: data.Sample) -> dict[str, str]:
    """What each expert should say; an expert without a target is left out."""
    found = {
        "theme": targets.theme_text(sample),
        "objects": targets.objects_text(sample.captions),
        "relationship": targets.relationship_text(sample.captions),
    }
    return {expert: text for expert, text in found.items() if text}


def tree(sample: data.Sample, other: data.Sample, segments: Segments, rng: random.Random) -> tuple[list[Node], bool]:
    """The packed tree of one image; `other` lends the prompts that do not fit."""
    header = segments.header("router")
    nodes = [
        Node(-1, segments.prefix()),
        Node(0, segments.turn_end(targets.CAPTION_INSTRUCTION)),
        Node(1, [*header, *segments.answer(targets.router_text(sample))], adapter=0, learnt_from=len(header)),
    ]
    own, borrowed = targets.router_lines(sample), targets.router_lines(other)
    texts = expert_texts(sample)
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


def train(team: parallel.Team, root: Path, work: Path, out: Path, minutes: float, seed: int = SEED) -> None:
    """One process of the team. Starts from the weight files in `out`, as they are shipped; writes `stage2.pt`."""
    torch.manual_seed(seed)
    samples = data.load(root)
    cache = pictures.open_cache(work, samples)
    language = model.language(work, samples)
    trained = save.read(out, language.shape, language.tensors)
    decoder = Decoder(language.shape, trained.tensors)
    head = decoder.embedding[language.shortlist]
    adapters = Pairs(language.shape, save.ADAPTER_RANK * len(save.ADAPTERS))
    optimiser = torch.optim.AdamW(
        [{"params": list(adapters.parameters()), "base": ADAPTER_RATE, "weight_decay": 0.0}], betas=(0.9, 0.98)
    )
    state = checkpoint.load(work / "stage2.pt") or {"step": 0, "used": 0.0}
    if state["step"]:
        adapters.load_state_dict(state["adapters"])
        optimiser.load_state_dict(state["optimiser"])
    step, budget = state["step"], checkpoint.Budget(minutes, state["used"])
    choices, rng = random.Random(seed + step), np.random.default_rng((seed + step) * 8 + team.rank)
    rows_of_pass = training_rows(samples)
    progress = parallel.Progress(team, optimiser, budget)

    def snapshot() -> None:
        if not team.leads:
            return
        checkpoint.save(
            work / "stage2.pt",
            {
                "adapters": adapters.state_dict(),
                "optimiser": optimiser.state_dict(),
                "step": step,
                "used": budget.used,
                "minutes": minutes,
                "images": step * BATCH,
            },
        )
        save.write(work, out, language.shape)

    def make(row: int) -> tuple[list[Node], bool]:
        return tree(samples[row], samples[choices.choice(rows_of_pass)], language.segments, choices)

    groups = checkpoint.shuffled(rows_of_pass, BATCH * GROUP, seed, skip=-(-step // GROUP))
    mean, started, first = np.zeros(len(save.ADAPTERS)), time.monotonic(), step
    for rows, trees, fixed in (map(team.share, batch) for batch in sorted_batches(groups, make, BATCH)):
        if progress.done >= 1:
            break
        batch = pack(trees, language.columns, language.segments.pad, multiple=8)
        with torch.no_grad():
            grid = trained.tower(pictures.plain(cache, rows, fixed, rng))
            x = decoder.embed(batch.ids, trained.connector(grid), language.segments.image_at)
        hidden = decoder(x, batch.positions, batch.visible, adapters, rank_mask(batch.adapter))
        loss, plain = model.token_loss(hidden, head, batch)
        owner = batch.adapter.flatten()[batch.rows + 1]  # a learnt token follows its predictor in the same branch
        own = [plain[owner == k] for k in range(len(save.ADAPTERS))]
        extras = [f(o) for f in (lambda o: float(o.sum()), lambda o: float(len(o))) for o in own]
        sums = progress.step(loss, float(batch.weights.sum()), extras)
        step += 1
        now = np.array(sums[: len(own)]) / np.maximum(sums[len(own) :], 1)
        mean = now if step == first + 1 else 0.95 * mean + 0.05 * now
        if step % 10 == 0 and team.leads:
            each = " ".join(f"{name} {value:.3f}" for name, value in zip(save.ADAPTERS, mean, strict=True))
            print(
                f"{time.strftime('%H:%M:%S')} step {step} {each} tokens {tuple(batch.ids.shape)} "
                f"{(step - first) * BATCH / (time.monotonic() - started):.1f} images/s {100 * progress.done:.0f} %",
                flush=True,
            )
        if budget.checkpoint_due():
            snapshot()
    snapshot()


def run(root: Path, work: Path, out: Path, minutes: float = 15.0) -> None:
    """Trains for `minutes` of wall-clock time in all, over all runs."""
    parallel.launch(train, (root, work, out, minutes))
