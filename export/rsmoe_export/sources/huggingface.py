"""Llama and Qwen2 checkpoints as Hugging Face saves them: config.json, safetensors, tokenizer.json."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path

import numpy as np

from rsmoe_export.decoder.config import DecoderConfig, Llama3Scaling
from rsmoe_export.decoder.weights import LayerWeights
from rsmoe_export.sources.tensor_files import ShardedTensors

_PROJECTIONS = {
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}
_MODEL_TYPES = ("llama", "qwen2")


class HuggingFaceSource:
    """A checkpoint directory as a `DecoderSource`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._facts = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        if self._facts.get("model_type") not in _MODEL_TYPES:
            kinds = " or ".join(_MODEL_TYPES)
            raise ValueError(f"{directory}: model_type {self._facts.get('model_type')!r}, expected {kinds}")
        if self._facts.get("hidden_act", "silu") != "silu":
            raise ValueError(f"{directory}: activation {self._facts['hidden_act']!r} is not supported")
        if self._facts.get("use_sliding_window"):
            raise ValueError(f"{directory}: sliding-window attention is not supported")
        self._tensors = ShardedTensors(directory)

    @cached_property
    def config(self) -> DecoderConfig:
        """Shapes from config.json."""
        facts = self._facts
        heads = facts["num_attention_heads"]
        # transformers 5 writes rope_parameters; earlier versions wrote rope_theta and rope_scaling.
        rope = facts.get("rope_parameters") or facts.get("rope_scaling") or {}
        return DecoderConfig(
            vocabulary=facts["vocab_size"],
            hidden=facts["hidden_size"],
            intermediate=facts["intermediate_size"],
            layers=facts["num_hidden_layers"],
            heads=heads,
            key_value_heads=facts.get("num_key_value_heads") or heads,
            head_dim=facts.get("head_dim") or facts["hidden_size"] // heads,
            rms_epsilon=facts["rms_norm_eps"],
            rope_theta=rope.get("rope_theta") or facts.get("rope_theta") or 10000.0,
            max_positions=facts["max_position_embeddings"],
            rope_scaling=self._scaling(rope),
        )

    def _scaling(self, rope: dict[str, object]) -> Llama3Scaling | None:
        kind = rope.get("rope_type") or rope.get("type") or "default"
        if kind == "default":
            return None
        if kind != "llama3":
            raise ValueError(f"{self.directory}: RoPE scaling {kind!r} is not supported")
        names = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
        return Llama3Scaling(**{name: rope[name] for name in names})

    def embedding(self) -> np.ndarray:
        """Token embeddings."""
        return self._tensors["model.embed_tokens.weight"]

    def head(self) -> np.ndarray:
        """The head, or the tied embedding."""
        tied = "lm_head.weight" not in self._tensors or self._facts.get("tie_word_embeddings", False)
        return self.embedding() if tied else self._tensors["lm_head.weight"]

    def final_norm(self) -> np.ndarray:
        """Scale of the final norm."""
        return self._tensors["model.norm.weight"]

    def layer(self, index: int) -> LayerWeights:
        """One layer."""
        prefix = f"model.layers.{index}"
        projections = {name: self._tensors[f"{prefix}.{module}.weight"] for name, module in _PROJECTIONS.items()}
        biases = {
            name: self._tensors[f"{prefix}.{module}.bias"]
            for name, module in _PROJECTIONS.items()
            if f"{prefix}.{module}.bias" in self._tensors
        }
        norms = [self._tensors[f"{prefix}.{name}.weight"] for name in ("input_layernorm", "post_attention_layernorm")]
        return LayerWeights(norms[0], norms[1], projections, biases)

    def tokenizer_json(self) -> bytes:
        """The directory's tokenizer.json."""
        return (self.directory / "tokenizer.json").read_bytes()
