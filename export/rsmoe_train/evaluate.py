"""Figures of a trained package on held-back images: captions, experts, questions; and what a template would get."""

from __future__ import annotations

import collections
import json
import multiprocessing
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
    speaker: Speaker, work: Path, samples: list[data.Sample], chosen: list[data.Sample], fixed: bool
) -> list[dict[str, str]]:
    """Generated texts of each image: `brief`, `router`, the three experts' texts and, with `fixed`, those that the
    fixed prompts bring (the ablation of the router).
    """
    maps, done = features.open_cache(work, len(samples))
    told: list[dict[str, str]] = []
    for start in range(0, len(chosen), BATCH):
        rows = [s.index for s in chosen[start : start + BATCH]]
        with torch.no_grad():
            prefix = speaker.prefix(speaker.image_embeddings(tail.batch_maps(maps, done, rows, None).float()))
        instructed = speaker.instruct(prefix, [targets.CAPTION_INSTRUCTION] * len(rows))
        batch = [{"brief": speaker.text(ids)} for ids in speaker.answer(instructed)]
        for row, ids in zip(batch, speaker.route(instructed), strict=True):
            row["router"] = speaker.text(ids)
        for expert in targets.EXPERTS:
            prompts = [prompts_of(row["router"])[expert] for row in batch]
            for row, ids in zip(batch, speaker.expert(instructed, expert, prompts), strict=True):
                row[expert] = speaker.text(ids)
            if fixed:
                prompts = [targets.FIXED_PROMPTS[expert]] * len(batch)
                for row, ids in zip(batch, speaker.expert(instructed, expert, prompts), strict=True):
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


def score(
    work: Path, samples: list[data.Sample], chosen: list[data.Sample], told: list[dict[str, str]]
) -> dict[str, object]:
    """Figures of one source's texts."""
    known = {targets.tidy(c) for s in samples if s.split == "train" for c in s.captions}
    references = [s.captions for s in chosen]
    briefs = [row["brief"] for row in told]
    themed = [(row, s) for row, s in zip(told, chosen, strict=True) if s.scene is not None]

    def objects(key: str) -> float:
        return metrics.f1([metrics.list_overlap(r[key], s.captions) for r, s in zip(told, chosen, strict=True)])

    entry: dict[str, object] = {
        "images": len(chosen),
        "cider": metrics.cider(briefs, references),
        "copies_of_training_captions": sum(b in known for b in briefs) / len(briefs),
        "cider_template_classifier": metrics.cider(template_captions(work, samples, chosen, False), references),
        "cider_template_true_class": metrics.cider(template_captions(work, samples, chosen, True), references),
        "objects_f1_brief": objects("brief"),
        "router_three_lines": sum(row["router"].count("\n") == 2 for row in told) / len(told),
    }
    for suffix in ("", "_fixed"):
        if f"theme{suffix}" in told[0]:
            right = sum(row[f"theme{suffix}"] == targets.theme_text(s) for row, s in themed)
            entry[f"theme{suffix}_accuracy"] = right / len(themed)
            entry[f"objects{suffix}_f1"] = objects(f"objects{suffix}")
            entry[f"relationship{suffix}_cider"] = metrics.cider([r[f"relationship{suffix}"] for r in told], references)
    return entry


def source_figures(root: Path, work: Path, out: Path, source: str) -> None:
    """Writes `figures_{source}.json` and `told_{source}.json` in the working directory."""
    torch.set_num_threads(1)
    samples = data.load(root)
    language = model.language(work, samples)
    speaker = Speaker(save.read(out, language.shape, language.tensors), language.segments, torch.bfloat16)
    chosen = [s for s in samples if s.source == source and s.split == "val"]
    told = describe(speaker, work, samples, chosen, fixed=source == "ucm")
    entry = score(work, samples, chosen, told)
    if source == "ucm":
        entry["questions"] = answer_questions(speaker, work, root, samples, chosen)
    rows = [{"image": s.path.name, "scene": s.scene, **row} for s, row in zip(chosen, told, strict=True)]
    (work / f"told_{source}.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    (work / f"figures_{source}.json").write_text(json.dumps(entry, indent=1), encoding="utf-8")
    print(source, json.dumps(entry, indent=1), *rows[:: max(len(rows) // 8, 1)], sep="\n", flush=True)


def run(root: Path, work: Path, out: Path) -> None:
    """Both sources, one process each; then `figures.json` in the working directory and in `training.json`."""
    context = multiprocessing.get_context("spawn")
    jobs = [context.Process(target=source_figures, args=(root, work, out, source)) for source in ("ucm", "rsicd")]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    if any(job.exitcode for job in jobs):
        raise SystemExit(1)
    figures = {source: json.loads((work / f"figures_{source}.json").read_text()) for source in ("ucm", "rsicd")}
    (work / "figures.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    save.write(work, out, model.language(work, data.load(root)).shape)
