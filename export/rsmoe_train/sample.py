"""The calibration sample: training images and texts as the decoder sees them, by which the exporter rounds weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save_file

from rsmoe_export.calibration.sample import Part, Sample

from . import data, model, save, targets
from .goals import Goals
from .packing import IMAGE_TOKENS, Segments
from .pixels import pixels
from .tower import normalise

COUNT = 40  # images, as many of RSICD as of UCM
#: What is written about an image, in turn: the brief caption, then one text of each adapter.
KINDS = ("caption", *save.ADAPTERS)


def sequence(segments: Segments, sample: data.Sample, goals: Goals, kind: str) -> list[Part]:
    """The shared prefix on the bare base, then one branch under its adapter (0: the bare base)."""
    head = segments.prefix()
    start = segments.image_at
    head[start : start + IMAGE_TOKENS] = range(-1, -IMAGE_TOKENS - 1, -1)
    head += segments.turn_end(targets.CAPTION_INSTRUCTION)
    lines = goals.lines(sample.index)
    text = targets.router_text(lines) if kind == "router" else goals.experts(sample.index).get(kind)
    if text is None:  # the brief caption, or a class or objects that nobody named
        tail, number = segments.header("assistant") + segments.answer(targets.tidy(sample.captions[0])), 0
    elif kind == "router":
        tail, number = segments.header("router") + segments.answer(text), 1
    else:
        asked = segments.header("user") + segments.turn_end(lines[kind])
        tail, number = asked + segments.header("assistant") + segments.answer(text), 1 + save.ADAPTERS.index(kind)
    return [(np.array(head), 0), (np.array(tail), number)]


def run(root: Path, work: Path, out: Path) -> None:
    """Writes `out`/sample.safetensors from the weight files in `out`."""
    samples = data.load(root)
    language = model.language(work, samples)
    trained = save.read(out, language.shape, language.tensors)
    goals = Goals.find(work, samples)
    images = data.evenly_spread(samples, COUNT)
    with torch.no_grad():
        values = normalise(torch.from_numpy(np.stack([pixels(Image.open(s.path)) for s in images])))
        embeddings = torch.cat([trained.connector(trained.tower(part)) for part in values.split(8)])
    sequences = [sequence(language.segments, s, goals, KINDS[i % len(KINDS)]) for i, s in enumerate(images)]
    sample = Sample(embeddings.float().numpy(), sequences)
    save_file(sample.tensors(), out / "sample.safetensors")
    (out / "sample.safetensors").chmod(0o644)  # safetensors creates its files readable by the owner alone
