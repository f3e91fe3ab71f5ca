"""Fits `silent_below` on one half of the validation images."""

from __future__ import annotations

import yaml

from . import silence
from .asked import Asked
from .calibration import Written
from .measure_questions import FITTED, HELD, half, temperatures
from .objects import truth
from .runtime import Runtime, require
from .silence import Told
from .splits import Data


def told(data: Data, runtime: Runtime, source: str, part: str, temperature: float) -> list[Told]:
    """The full captions of the images of a half, as sure as they are at a temperature of texts."""
    _, now = temperatures(runtime.package)
    manifest = yaml.safe_load((runtime.package / "manifest.yaml").read_text(encoding="utf-8"))
    lead = (manifest.get("experts") or {}).get("lead")
    samples = data.chosen[source]
    records = require(runtime.captions([sample.path for sample in samples], "full"), "full captions")
    found = []
    for sample, record in zip(samples, records, strict=True):
        if half(Asked(source, "theme", sample, "", "")) != part:
            continue
        experts = record["experts"]
        written = [Written.read(one["confidence"], record.get("familiarity"), True, now) for one in experts]
        confidences = [one.outcome(temperature)[0] for one in written]
        leads = [one["name"] == lead for one in experts]
        truths = truth(sample.captions, data.labels(sample))
        found.append(Told([one["text"] for one in experts], confidences, leads, truths))
    return found


def fit(data: Data, runtime: Runtime, temperature: float) -> tuple[float, dict]:
    """(`silent_below` for a temperature of texts, object scores with and without it: row name -> figures)."""
    images = {
        part: {source: told(data, runtime, source, part, temperature) for source in data.chosen}
        for part in (FITTED, HELD)
    }
    threshold = silence.silent_below({source: some for source, some in images[FITTED].items() if some})
    rows = {
        f"{source}, {part}, silent below {value}": silence.scores(some, value)
        for part, sources in images.items()
        for source, some in sources.items()
        if some
        for value in dict.fromkeys((0.0, threshold))
    }
    return threshold, rows
