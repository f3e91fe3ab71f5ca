"""Figures of a trained package on held-back images: captions, experts, questions; and what a template would get."""

from __future__ import annotations

import collections
import json
import time
from pathlib import Path

import torch

from . import checkpoint, data, features, metrics, model, save, tail, targets
from .generate import Speaker, prompts_of

BATCH = 70


def template_captions(work: Path, samples: list[data.Sample], chosen: list[data.Sample], known: bool) -> list[str]:
    """For each image the commonest training caption of its class: the true one, or the vision stage's guess."""
    common: dict[int, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for sample in samples:
        if sample.split == "train" and sample.scene is not None:
            common[sample.label].update(targets.tidy(c) for c in sample.captions)
    heads, tower = tail.Heads().eval(), model.tuned_tower(work)
    state = checkpoint.load(work / "tail.pt")
    assert state is not None
    heads.load_state_dict(state["heads"])
    maps, done = features.open_cache(work, len(samples))
    said = []
    for sample in chosen:
        label = sample.label
        if not known or label < 0:
            with torch.no_grad():
                logits, _ = heads(tower.tail(tail.batch_maps(maps, done, [sample.index], None).float()))
            own = torch.tensor([source == sample.source for source, _ in data.CLASS_KEYS])
            label = int(logits[0].masked_fill(~own, -1e9).argmax())
        said.append(common[label].most_common(1)[0][0])
    return said


def questions_of(root: Path, chosen: list[data.Sample]) -> list[tuple[int, data.Question]]:
    """RSIVQA's usable questions about the chosen UCM images: (place in `chosen`, question)."""
    place = {s.path.name: i for i, s in enumerate(chosen)}
    with (root / "ucm" / "vqa.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [
        (place[r["image"]], data.Question(r["question"], r["answer"]))
        for r in rows
        if r["image"] in place and "  " not in r["question"]
    ]


def kind(question: str) -> str:
    """theme, presence, count or location."""
    text = question.lower()
    return next(
        (k for w, k in (("theme", "theme"), ("how many", "count"), ("location", "location")) if w in text), "presence"
    )


def describe(
    speaker: Speaker, work: Path, samples: list[data.Sample], chosen: list[data.Sample], experts: bool
) -> list[dict[str, str]]:
    """Generated texts of each image: `brief`, and with `experts` also `router` and the three experts' texts."""
    maps, done = features.open_cache(work, len(samples))
    told: list[dict[str, str]] = []
    for start in range(0, len(chosen), BATCH):
        rows = [s.index for s in chosen[start : start + BATCH]]
        with torch.no_grad():
            prefix = speaker.prefix(speaker.image_embeddings(tail.batch_maps(maps, done, rows, None).float()))
        instructed = speaker.instruct(prefix, [targets.CAPTION_INSTRUCTION] * len(rows))
        batch = [{"brief": speaker.text(ids)} for ids in speaker.answer(instructed)]
        if experts:
            for row, ids in zip(batch, speaker.route(instructed), strict=True):
                row["router"] = speaker.text(ids)
            for expert in targets.EXPERTS:
                prompts = [prompts_of(row["router"])[expert] for row in batch]
                for row, ids in zip(batch, speaker.expert(instructed, expert, prompts), strict=True):
                    row[expert] = speaker.text(ids)
                fixed = [targets.FIXED_PROMPTS[expert]] * len(batch)
                for row, ids in zip(batch, speaker.expert(instructed, expert, fixed), strict=True):
                    row[f"{expert}_fixed"] = speaker.text(ids)
        told.extend(batch)
    return told


def answer_questions(
    speaker: Speaker, work: Path, root: Path, samples: list[data.Sample], chosen: list[data.Sample]
) -> dict[str, float]:
    """Exact-match rate of each kind of question, with the number of rows."""
    maps, done = features.open_cache(work, len(samples))
    right: collections.Counter[str] = collections.Counter()
    total: collections.Counter[str] = collections.Counter()
    rows = questions_of(root, chosen)
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        with torch.no_grad():
            indices = [chosen[i].index for i, _ in part]
            prefix = speaker.prefix(speaker.image_embeddings(tail.batch_maps(maps, done, indices, None).float()))
        answers = speaker.answer(speaker.instruct(prefix, [q.text for _, q in part]), 12)
        for (_, question), ids in zip(part, answers, strict=True):
            total[kind(question.text)] += 1
            right[kind(question.text)] += speaker.text(ids).lower() == question.answer.lower()
    return {f"{k} ({n} rows)": round(right[k] / n, 3) for k, n in total.items()}


def run(root: Path, work: Path, out: Path, brief_only: bool = False, rsicd: bool = True) -> dict[str, object]:
    """Prints the figures and writes them to `figures.json` in the working directory."""
    began = time.monotonic()
    samples = data.load(root)
    language = model.language(work, samples)
    speaker = Speaker(save.read(out, language.shape, language.tensors), language.segments, torch.bfloat16)
    known = {targets.tidy(c) for s in samples if s.split == "train" for c in s.captions}
    figures: dict[str, object] = {}
    for source in ("ucm", "rsicd") if rsicd else ("ucm",):
        chosen = [s for s in samples if s.source == source and s.split == "val"]
        told = describe(speaker, work, samples, chosen, experts=not brief_only)
        references = [s.captions for s in chosen]
        briefs = [row["brief"] for row in told]
        entry: dict[str, object] = {
            "images": len(chosen),
            "cider": metrics.cider(briefs, references),
            "copies_of_training_captions": sum(b in known for b in briefs) / len(briefs),
            "objects_f1_brief": metrics.f1(
                [metrics.list_overlap(b, r) for b, r in zip(briefs, references, strict=True)]
            ),
            "cider_template_classifier": metrics.cider(template_captions(work, samples, chosen, False), references),
            "cider_template_true_class": metrics.cider(template_captions(work, samples, chosen, True), references),
        }
        if not brief_only:
            themed = [(row, s) for row, s in zip(told, chosen, strict=True) if s.scene is not None]
            for key in ("theme", "theme_fixed"):
                entry[f"{key}_accuracy"] = sum(row[key] == targets.theme_text(s) for row, s in themed) / len(themed)
            for key in ("objects", "objects_fixed"):
                entry[f"{key}_f1"] = metrics.f1(
                    [metrics.list_overlap(r[key], s.captions) for r, s in zip(told, chosen, strict=True)]
                )
            for key in ("relationship", "relationship_fixed"):
                entry[f"{key}_cider"] = metrics.cider([row[key] for row in told], references)
            entry["router_three_lines"] = sum(row["router"].count("\n") == 2 for row in told) / len(told)
        if source == "ucm":
            entry["questions"] = answer_questions(speaker, work, root, samples, chosen)
        figures[source] = entry
        (work / f"told_{source}.json").write_text(
            json.dumps(
                [{"image": s.path.name, "scene": s.scene, **row} for s, row in zip(chosen, told, strict=True)], indent=1
            )
        )
        print(source, json.dumps(entry, indent=1), flush=True)
        for row, sample in list(zip(told, chosen, strict=True))[:: max(len(chosen) // 8, 1)]:
            print(f"  {sample.path.name} {sample.scene}: {row}", flush=True)
    print(f"evaluated in {time.monotonic() - began:.0f} s", flush=True)
    if not brief_only:
        (work / "figures.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        save.write(work, out, language.shape)
    return figures
