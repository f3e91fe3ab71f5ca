"""`sample`: what a package is calibrated on, from images and from what the runtime wrote about them. Needs onnxruntime
and pillow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import yaml
from PIL import Image
from tokenizers import Tokenizer

from rsmoe_export.calibration.sample import Part, Sample
from rsmoe_export.reference.run import ReferenceRun

Record = Mapping[str, object]


def read_records(paths: Sequence[Path], count: int) -> list[Record]:
    """`count` records of `rsmoe caption --jsonl` outputs, spread evenly over each file and taken from all in turn.

    Raises:
        ValueError: there are fewer.
    """
    records = []
    for number, path in enumerate(paths):
        found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        found = [record for record in found if "caption" in record]
        wanted = len(range(number, count, len(paths)))
        if len(found) < wanted:
            raise ValueError(f"{path}: {wanted} captions wanted, {len(found)} found")
        records += [found[place * len(found) // wanted] for place in range(wanted)]
    return records


def collect(package: Path, records: Sequence[Record]) -> Sample:
    """One sequence per record: its brief caption, or in turn the router's text or that of one of its experts."""
    facts = yaml.safe_load((package / "manifest.yaml").read_text(encoding="utf-8"))
    tokenizer = Tokenizer.from_file(str(package / facts["language"]["tokenizer"]))
    segments = ReferenceRun(facts, tokenizer, {})
    encoder, connector = (
        onnxruntime.InferenceSession(str(package / facts["graphs"][facts[key]["graph"]]["file"]))
        for key in ("vision_encoder", "connector")
    )
    images, sequences = [], []
    for number, record in enumerate(records):
        pixels = _pixel_values(Path(str(record["input"])), facts["vision_encoder"]["preprocess"])
        features = encoder.run([facts["vision_encoder"]["features"]], {facts["vision_encoder"]["pixel_values"]: pixels})
        images.append(connector.run(None, {facts["connector"]["features"]: features[0]})[0][0])
        sequences.append(_sequence(segments, record, number, len(images[-1])))
    return Sample(np.stack(images), sequences)


def _sequence(segments: ReferenceRun, record: Record, turn: int, image_tokens: int) -> list[Part]:
    """The shared prefix on the bare base, then one branch under its adapter."""
    facts = segments.facts
    head = segments.segment("prefix", image_tokens)
    head += segments.segment("instruction", 0, instruction=facts["language"]["caption_instruction"])
    experts = record.get("experts") or []
    role: Mapping[str, object] = facts["captioner"]
    tail, text = segments.segment("answer", 0), str(record["caption"])
    if experts and turn % (1 + len(experts)) == 0:
        role, tail = facts["router"], segments.segment("router", 0)
        text = "\n".join(expert["prompt"] for expert in experts)
    elif experts:
        expert = experts[turn % (1 + len(experts)) - 1]
        role = next(item for item in facts["experts"]["list"] if item["name"] == expert["name"])
        tail, text = segments.segment("expert", 0, prompt=expert["prompt"]), expert["text"]
    tail += segments.tokenizer.encode(text, add_special_tokens=False).ids
    tail.append(segments.tokenizer.token_to_id(facts["language"]["stop_tokens"][0]))
    adapters = facts["decoders"]["base"]["adapters"]
    number = adapters.index(role["adapter"]) + 1 if role.get("adapter") else 0
    return [(np.array(head), 0), (np.array(tail), number)]


def _pixel_values(path: Path, preprocess: Mapping[str, object]) -> np.ndarray:
    """f32 `[1, 3, height, width]` as the manifest's preprocessing says."""
    size = (preprocess["width"], preprocess["height"])
    picture = np.asarray(Image.open(path).convert("RGB").resize(size, Image.Resampling.BILINEAR), np.float32)
    scaled = (picture / 255 - np.array(preprocess["mean"])) / np.array(preprocess["std"])
    return scaled.transpose(2, 0, 1)[None].astype(np.float32)
