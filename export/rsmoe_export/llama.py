"""`llama`: decoder graphs of any Llama or Qwen2 checkpoint, with a text-only golden file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save
from tokenizers import Tokenizer

from rsmoe_export.decoder.builder import DecoderOptions, build_decoder
from rsmoe_export.decoder.weights import DecoderSource
from rsmoe_export.reference.decoder import ReferenceDecoder
from rsmoe_export.sources.derived import Limited
from rsmoe_export.sources.gguf_file import GgufSource
from rsmoe_export.sources.huggingface import HuggingFaceSource

#: What the golden file's logits follow.
PROMPT = "The image shows an airport with several planes. Next to the"


def open_checkpoint(path: Path) -> GgufSource | HuggingFaceSource:
    """A .gguf file or a Hugging Face directory.

    Raises:
        ValueError: it is neither.
    """
    if path.suffix == ".gguf":
        return GgufSource(path)
    if (path / "config.json").is_file():
        return HuggingFaceSource(path)
    raise ValueError(f"{path}: neither a .gguf file nor a directory with config.json")


def export(path: Path, out: Path, variants: Sequence[str], max_context: int) -> None:
    """Writes decoder.<variant>.onnx, tokenizer.json and golden.safetensors into `out`."""
    checkpoint = open_checkpoint(path)
    source = Limited(checkpoint, max_context)
    out.mkdir(parents=True, exist_ok=True)
    document = checkpoint.tokenizer_json()
    (out / "tokenizer.json").write_bytes(document)
    for variant in variants:
        print(f"{out}: {variant}", flush=True)
        build_decoder(out / f"decoder.{variant}.onnx", source, DecoderOptions(variant))
    ids = np.array(Tokenizer.from_str(document.decode()).encode(PROMPT).ids, np.int64)
    (out / "golden.safetensors").write_bytes(save(golden(source, ids)))


def golden(source: DecoderSource, ids: np.ndarray) -> dict[str, np.ndarray]:
    """The unquantized model's answer to a prompt, computed layer by layer in float64.

    in.input_ids i64 `[1, new]`; out.logits f32 `[1, vocabulary]` after the last token; out.next_ids i64 `[1, new]`,
    the greedy token after each position.
    """
    decoder = ReferenceDecoder(source, streamed=True)
    hidden = decoder.forward(decoder.embed(ids, np.zeros((1, 1))), 0, decoder.empty_cache(len(ids)))
    logits = decoder.logits(hidden)
    return {
        "in.input_ids": ids[None],
        "out.logits": logits[-1:].astype(np.float32),
        "out.next_ids": logits.argmax(axis=1)[None].astype(np.int64),
    }
