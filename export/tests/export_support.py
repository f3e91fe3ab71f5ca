"""What the export tests share: the stored tiny packages, their golden vectors, tolerances."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnxruntime
import yaml
from safetensors.numpy import load_file

from rsmoe_export.reference.session import DecoderSession, options

ROOT = Path(__file__).parents[2]
PACKAGES = ROOT / "tests" / "packages"
NAMES = ("tiny-adapter", "tiny-graph")

#: Largest absolute difference to the float64 reference. fp32 and w8a8 differ by float32 rounding alone (the reference
#: rounds activations to the same int8 steps); int4's kernel also rounds activations to int8 blocks, which the
#: reference does not.
TOLERANCE = {"fp32": 1e-4, "w8a8": 1e-4, "int4": 0.15}
#: The same for vision tower and connectors.
VISION_TOLERANCE = 1e-4
#: The same for features of an int8 tower: one step of the last grid, whose range is 6 at most. A value within float32
#: rounding of the middle between two steps may go either way.
INT8_TOWER_TOLERANCE = 6 / 255 + VISION_TOLERANCE


@lru_cache
def manifest(name: str) -> dict:
    return yaml.safe_load((PACKAGES / name / "manifest.yaml").read_text(encoding="utf-8"))


@lru_cache
def golden(name: str) -> dict[str, np.ndarray]:
    return load_file(PACKAGES / name / "golden" / "golden.safetensors")


@lru_cache
def run_texts(name: str) -> dict:
    return json.loads((PACKAGES / name / "golden" / "run.json").read_text(encoding="utf-8"))


def run_graph(path: Path, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    settings = options()
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def vision_graph(name: str, variant: str) -> Path:
    """The vision graph that a variant runs."""
    facts = manifest(name)
    entry = facts["vision_encoder"]
    key = entry.get("variants", {}).get(variant, entry)["graph"]
    return PACKAGES / name / facts["graphs"][key]["file"]


def golden_io(name: str, inputs: str, outputs: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Golden tensors below two prefixes."""
    tensors = golden(name)
    return tuple(
        {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
        for prefix in (inputs, outputs)
    )


def decoder(name: str, graph: str, rows: int, capacity: int = 96) -> DecoderSession:
    return DecoderSession(PACKAGES / name / f"{graph}.onnx", rows, capacity, threads=1)


def decoder_graphs() -> list[tuple[str, str, str]]:
    """(package, decoder, variant) of all stored decoder graphs."""
    return [
        (name, decoder, variant)
        for name in NAMES
        for decoder, entry in manifest(name)["decoders"].items()
        for variant in entry["variants"]
    ]
