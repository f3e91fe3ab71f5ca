"""Reference values for whoever checks exported graphs: fp32 torch on a few images, from the weight files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from . import data, model, save, targets
from .generate import Speaker, prompts_of
from .pixels import pixels
from .tower import normalise


def run(root: Path, work: Path, out: Path, count: int = 4) -> None:
    """Writes `reference.npz`.

    pixel_values [n, 3, 256, 256], features [n, 8, 8, 1280], image_embeddings [n, 18, hidden], caption_logits
    [n, shortlist] (last position of the caption prompt), output_ids, and per image `{kind}_{i}`: int32 greedy token
    ids without the end token, for caption, router and the experts (prompted by the router's lines).
    """
    samples = data.load(root)
    language = model.language(work, samples)
    trained = save.read(out, language.shape, language.tensors)
    speaker = Speaker(trained, language.segments, torch.float32)
    validation = [s for s in samples if s.source == "ucm" and s.split == "val"]
    chosen = validation[5 :: len(validation) // count][:count]
    with torch.no_grad():
        values = normalise(torch.from_numpy(np.stack([pixels(Image.open(s.path)) for s in chosen])))
        grid = trained.tower(values)
        image = trained.connector(grid)
    prefix = speaker.prefix(image)
    instructed = speaker.instruct(prefix, [targets.CAPTION_INSTRUCTION] * count)
    logits = speaker.append(instructed.fork(), [language.segments.header("assistant")] * count, None)
    told = {"caption": speaker.answer(instructed), "router": speaker.route(instructed)}
    routed = [prompts_of(speaker.text(ids)) for ids in told["router"]]
    for expert in targets.EXPERTS:
        told[expert] = speaker.expert(instructed, expert, [prompts[expert] for prompts in routed])
    arrays = {
        "pixel_values": values.numpy(),
        "features": grid.numpy(),
        "image_embeddings": image.numpy(),
        "caption_logits": logits.numpy(),
        "output_ids": trained.shortlist.numpy().astype(np.int32),
        "images": np.array([s.path.name for s in chosen]),
    }
    for name, rows in told.items():
        for i, ids in enumerate(rows):
            arrays[f"{name}_{i}"] = np.array(ids, np.int32)
            print(f"{chosen[i].path.name} {name}: {speaker.text(ids)!r}", flush=True)
    np.savez(work / "reference.npz", **arrays)
