"""Entries of the manifest that all packages share. Names and meanings: the schema in `schemas/manifest.schema.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rsmoe_export import OPSET, __version__
from rsmoe_export.decoder.config import DecoderConfig

#: What each expert is asked if no router writes its prompt.
FIXED_PROMPTS = {
    "theme": "Name the scene.",
    "objects": "List the objects.",
    "relationship": "Describe how the objects are arranged.",
}
#: The instruction of a caption that names none.
CAPTION_INSTRUCTION = "Describe the image."
#: ChatML segments; the router and the experts continue after prefix and instruction.
PROMPTS = {
    "prefix": [{"text": "<|im_start|>user\n"}, {"slot": "image"}],
    "instruction": [{"slot": "instruction"}, {"text": "<|im_end|>\n"}],
    "answer": [{"text": "<|im_start|>assistant\n"}],
    "router": [{"text": "<|im_start|>router\n"}],
    "expert": [{"text": "<|im_start|>user\n"}, {"slot": "prompt"}, {"text": "<|im_end|>\n<|im_start|>assistant\n"}],
}
STOP_TOKENS = ["<|im_end|>", "<|endoftext|>"]
#: Keys of the vision graphs.
VISION, VISION_INT8 = "vision", "vision.int8"
#: Which variant an execution provider takes if none is named.
PROVIDER_VARIANTS = {"cuda": "int4", "tensorrt": "int4"}


def provenance(base: str, vision: str, created_from: str) -> dict[str, str]:
    """Where the weights come from. Strings only and no dates, so that equal sources give equal bytes."""
    return {
        "base": base,
        "vision": vision,
        "exporter": f"rsmoe_export {__version__}",
        "opset": str(OPSET),
        "created_from": created_from,
    }


def vision_graphs(variants: Sequence[str], *, int8: bool) -> dict[str, str]:
    """Key of the vision graph that each variant runs; with `int8`, the quantized ones have it in int8."""
    return {variant: VISION_INT8 if int8 and variant != "fp32" else VISION for variant in variants}


def vision_entry(
    width: int,
    height: int,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    familiarity: bool = False,
    views: str = "single",
    graphs: Mapping[str, str] | None = None,
) -> dict[str, object]:
    """The vision encoder and the pixels it wants: `(x / 255 - mean) / std`, resized straight to width x height.

    With `familiarity`, the graph has a second output of that name. `views` is `single` or `quarter_turns`. `graphs` is
    what `vision_graphs` gives (none: every variant runs the float graph).
    """
    held = set((graphs or {}).values()) or {VISION}
    own = {variant: {"graph": key} for variant, key in (graphs or {}).items() if len(held) > 1 and key != VISION}
    return {
        "graph": VISION if VISION in held else VISION_INT8,
        **({"variants": own} if own else {}),
        "pixel_values": "pixel_values",
        "features": "features",
        **({"familiarity": "familiarity"} if familiarity else {}),
        "preprocess": {
            "width": width,
            "height": height,
            "bands": ["red", "green", "blue"],
            "resampling": "bilinear",
            "mean": list(mean),
            "std": list(std),
        },
        **({"views": views} if views != "single" else {}),
    }


def connector_entry(kind: str, image_tokens: int, **extra: object) -> dict[str, object]:
    """The connector; `extra` are the fields of kind `qformer`."""
    return {
        "kind": kind,
        "graph": "connector",
        "features": "features",
        "image_embeddings": "image_embeddings",
        "image_tokens": image_tokens,
    } | extra


def language_entry(hidden: int, max_context: int) -> dict[str, object]:
    """Tokenizer, templates and limits of the language model."""
    return {
        "tokenizer": "tokenizer.json",
        "hidden": hidden,
        "stop_tokens": STOP_TOKENS,
        "max_context": max_context,
        "prompts": PROMPTS,
        "caption_instruction": CAPTION_INSTRUCTION,
    }


def decoder_entry(
    name: str,
    config: DecoderConfig,
    variants: Sequence[str],
    adapters: Sequence[str],
    output_ids: str | None,
    full_head: bool,
) -> dict[str, object]:
    """One decoder: its shapes, I/O names and graphs (`<name>.<variant>`, `<name>.full_head`)."""
    inputs = {
        "input_ids": "input_ids",
        "image_embeddings": "image_embeddings",
        "past_lengths": "past_lengths",
        "logits_indices": "logits_indices",
    }
    if adapters:
        inputs["adapter_ids"] = "adapter_ids"
    inputs |= {"past_key": "past_key.{layer}", "past_value": "past_value.{layer}"}
    return {
        "layers": config.layers,
        "key_value_heads": config.key_value_heads,
        "head_dim": config.head_dim,
        "output_ids": output_ids,
        "vocabulary": config.vocabulary,
        "adapters": list(adapters),
        "inputs": inputs,
        "outputs": {
            "next_ids": "next_ids",
            "next_logprobs": "next_logprobs",
            "logits": "logits",
            "hidden": "hidden",
            "present_key": "present_key.{layer}",
            "present_value": "present_value.{layer}",
        },
        "variants": {variant: {"graph": f"{name}.{variant}"} for variant in variants},
        "full_head": {"graph": f"{name}.full_head", "hidden": "hidden", "logits": "logits"} if full_head else None,
    }


def variant_choice(variants: Sequence[str]) -> dict[str, str]:
    """The default variant (the first that was built of w8a8, fp32, int4), and what GPU providers take if it was
    built.
    """
    default = next(variant for variant in ("w8a8", "fp32", "int4") if variant in variants)
    return {"default": default} | {key: value for key, value in PROVIDER_VARIANTS.items() if value in variants}


def experts_entry(layout: str, names: Sequence[str], lead: str | None = None) -> dict[str, object]:
    """The experts, each on the shared base with an adapter, or each on a decoder of its own.

    `lead` is the one whose confidence is a full caption's (none: the mean).

    Raises:
        ValueError: `lead` is none of the names.
    """
    if lead is not None and lead not in names:
        raise ValueError(f"lead: expected one of {', '.join(names)}, found {lead}")
    experts = []
    for name in names:
        expert: dict[str, object] = {"name": name, "prompt": FIXED_PROMPTS[name]}
        expert |= {"decoder": "base", "adapter": name} if layout == "adapter" else {"decoder": name}
        experts.append(expert)
    return {"layout": layout, "list": experts} | ({"lead": lead} if lead else {})


def confidence_entry(calibration: Mapping[str, float]) -> dict[str, object]:
    """How raw probabilities become confidences; `calibration` is what calibration.json holds.

    Raises:
        ValueError: a number is missing, unknown or out of range.
    """
    names = {"choice_temperature", "text_temperature", "unsure_below", "silent_below"}
    if set(calibration) != names:
        raise ValueError(f"calibration: expected {', '.join(sorted(names))}, found {', '.join(sorted(calibration))}")
    choice, text = (float(calibration[f"{kind}_temperature"]) for kind in ("choice", "text"))
    thresholds = {name: float(calibration[name]) for name in ("unsure_below", "silent_below")}
    if not (0 < choice < math.inf and 0 < text < math.inf and all(0 <= value < 1 for value in thresholds.values())):
        raise ValueError(f"calibration {dict(calibration)}: temperatures must be above 0, thresholds 0 <= number < 1")
    return {"temperature": {"choice": choice, "text": text}, **thresholds}
