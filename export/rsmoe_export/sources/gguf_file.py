"""Llama and Qwen2 checkpoints in GGUF files: weights, shapes, and the tokenizer that the metadata holds."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import gguf
import numpy as np

from rsmoe_export import tokenizer
from rsmoe_export.decoder.config import DecoderConfig
from rsmoe_export.decoder.weights import LayerWeights
from rsmoe_export.quantize import BLOCK, Int8Blocks

_PROJECTIONS = {
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "o": "attn_output",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}
#: How Llama 3 and Qwen 2 split text before merging (the patterns of their tokenizer.json).
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
#: Token types of GGUF that are special tokens: control (3) and user defined (4).
_SPECIAL_TYPES = (3, 4)


class GgufSource:
    """A GGUF file as a `DecoderSource`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reader = gguf.GGUFReader(path)
        self._tensors = {tensor.name: tensor for tensor in self._reader.tensors}
        self.architecture = str(self._field("general.architecture"))
        if self.architecture not in ("llama", "qwen2"):
            raise ValueError(f"{path}: architecture {self.architecture!r} is not of the Llama or Qwen2 family")

    def _field(self, name: str, default: object = None) -> object:
        field = self._reader.get_field(name)
        if field is None:
            if default is None:
                raise ValueError(f"{self.path}: no field {name!r}")
            return default
        return field.contents()

    def _fact(self, name: str, default: object = None) -> object:
        return self._field(f"{self.architecture}.{name}", default)

    @cached_property
    def config(self) -> DecoderConfig:
        """Shapes from the metadata."""
        hidden, heads = int(self._fact("embedding_length")), int(self._fact("attention.head_count"))
        head_dim = int(self._fact("attention.key_length", hidden // heads))
        divisors = self._tensors.get("rope_freqs.weight")
        return DecoderConfig(
            vocabulary=len(self._tensors["token_embd.weight"].data),
            hidden=hidden,
            intermediate=int(self._fact("feed_forward_length")),
            layers=int(self._fact("block_count")),
            heads=heads,
            key_value_heads=int(self._fact("attention.head_count_kv", heads)),
            head_dim=head_dim,
            rms_epsilon=float(self._fact("attention.layer_norm_rms_epsilon")),
            rope_theta=float(self._fact("rope.freq_base", 10000.0)),
            max_positions=int(self._fact("context_length")),
            rope_divisors=None if divisors is None else tuple(float(value) for value in divisors.data),
        )

    def _dense(self, name: str) -> np.ndarray:
        tensor = self._tensors[name]
        return np.asarray(gguf.quants.dequantize(tensor.data, tensor.tensor_type), np.float32)

    def _table(self, name: str) -> np.ndarray | Int8Blocks:
        """A Q8_0 table as its own blocks, anything else as float32."""
        tensor = self._tensors[name]
        if tensor.tensor_type != gguf.GGMLQuantizationType.Q8_0:
            return self._dense(name)
        # A Q8_0 block is a float16 scale and 32 int8 values.
        blocks = tensor.data.reshape(len(tensor.data), -1, 2 + BLOCK)
        scale = np.ascontiguousarray(blocks[..., :2]).view(np.float16)[..., 0].astype(np.float32)
        return Int8Blocks(np.ascontiguousarray(blocks[..., 2:]).view(np.int8), scale)

    def embedding(self) -> np.ndarray | Int8Blocks:
        """Token embeddings."""
        return self._table("token_embd.weight")

    def head(self) -> np.ndarray | Int8Blocks:
        """The head, or the tied embedding."""
        return self._table("output.weight" if "output.weight" in self._tensors else "token_embd.weight")

    def final_norm(self) -> np.ndarray:
        """Scale of the final norm."""
        return self._dense("output_norm.weight")

    def layer(self, index: int) -> LayerWeights:
        """One layer, queries and keys back in Hugging Face's order."""
        prefix = f"blk.{index}"
        projections = {name: self._dense(f"{prefix}.{tensor}.weight") for name, tensor in _PROJECTIONS.items()}
        biases = {
            name: self._dense(f"{prefix}.{tensor}.bias")
            for name, tensor in _PROJECTIONS.items()
            if f"{prefix}.{tensor}.bias" in self._tensors
        }
        if self.architecture == "llama":
            # llama.cpp interleaves the halves of each head for its own rotary order; Qwen2 files keep Hugging Face's.
            for name, heads in (("q", self.config.heads), ("k", self.config.key_value_heads)):
                projections[name] = _unpermute(projections[name], heads)
                if name in biases:
                    biases[name] = _unpermute(biases[name], heads)
        norms = [self._dense(f"{prefix}.{name}.weight") for name in ("attn_norm", "ffn_norm")]
        return LayerWeights(norms[0], norms[1], projections, biases)

    def tokenizer_json(self) -> bytes:
        """tokenizer.json of the vocabulary in the metadata (byte-level BPE kinds)."""
        kind, rule = self._field("tokenizer.ggml.model"), self._field("tokenizer.ggml.pre", "default")
        splitting = {
            "smollm": tokenizer.digits_then_bytes(),
            "gpt-2": tokenizer.byte_level(),
            "llama-bpe": tokenizer.split_then_bytes(_LLAMA3),
            "qwen2": tokenizer.split_then_bytes(_QWEN2),
        }
        if kind != "gpt2" or rule not in splitting:
            raise ValueError(f"{self.path}: cannot rebuild a tokenizer of kind {kind!r}, splitting {rule!r}")
        tokens = self._field("tokenizer.ggml.tokens")
        types = self._field("tokenizer.ggml.token_type")
        special = [number for number, kind in enumerate(types) if kind in _SPECIAL_TYPES]
        return tokenizer.byte_level_bpe(tokens, self._field("tokenizer.ggml.merges"), special, splitting[rule])


def _unpermute(weight: np.ndarray, heads: int) -> np.ndarray:
    """Undoes llama.cpp's reordering of query and key rows (convert_hf_to_gguf.py, `permute`)."""
    halves = weight.reshape(heads, weight.shape[0] // heads // 2, 2, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)
