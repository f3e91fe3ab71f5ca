"""Facts of a Llama-family decoder, and its rotary tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Llama3Scaling:
    """RoPE scaling of Llama 3.1 and later: low frequencies are slowed by `factor`, high ones kept, a ramp between.

    Source: transformers, `modeling_rope_utils._compute_llama3_parameters`.
    """

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position_embeddings: int


@dataclass(frozen=True)
class DecoderConfig:
    """Shapes and constants of a decoder (Llama 2/3.x, TinyLlama, SmolLM2, Qwen2.5)."""

    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_value_heads: int
    head_dim: int
    rms_epsilon: float
    rope_theta: float
    max_positions: int
    rope_scaling: Llama3Scaling | None = None
    #: Divisors of the rotary frequencies as a GGUF file stores them (`rope_freqs.weight`), instead of `rope_scaling`.
    rope_divisors: tuple[float, ...] | None = None

    @property
    def groups(self) -> int:
        """Query heads per key-value head."""
        return self.heads // self.key_value_heads

    @property
    def query_width(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_dim

    @property
    def key_value_width(self) -> int:
        """Width of all key heads (or value heads) together."""
        return self.key_value_heads * self.head_dim

    def inverse_frequencies(self) -> np.ndarray:
        """float32 `[head_dim / 2]`, radians per position, in the rotate-half order of Hugging Face."""
        exponents = np.arange(0, self.head_dim, 2, dtype=np.float32) / np.float32(self.head_dim)
        frequencies = (1.0 / np.float32(self.rope_theta) ** exponents).astype(np.float32)
        if self.rope_divisors is not None:
            return (frequencies / np.asarray(self.rope_divisors, np.float32)).astype(np.float32)
        scaling = self.rope_scaling
        if scaling is None:
            return frequencies
        wavelength = 2 * np.pi / frequencies
        turns = scaling.original_max_position_embeddings / wavelength
        ramp = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
        kept = np.clip(ramp, 0, 1)
        return (kept * frequencies + (1 - kept) * frequencies / scaling.factor).astype(np.float32)

    def rotary_tables(self, positions: int) -> tuple[np.ndarray, np.ndarray]:
        """Cosines and sines, float32 `[positions, head_dim / 2]`."""
        angles = np.arange(positions, dtype=np.float32)[:, None] * self.inverse_frequencies()[None, :]
        return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
