"""transformers on torch; the prefix's cache is repeated for the experts."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import AutoModelForCausalLM, DynamicCache
from work import Peer, Work


class Transformers(Peer):
    """The plain forward pass with a `DynamicCache`."""

    notes = ("image tokens as embeddings", f"{transformers.__version__}, torch {torch.__version__}")

    def __init__(self, model: Path, threads: int, dtype: torch.dtype):
        torch.set_num_threads(threads)
        self._model = AutoModelForCausalLM.from_pretrained(model, dtype=dtype).eval()
        hidden = self._model.config.hidden_size
        self._images = torch.randn((1, 64, hidden), generator=torch.Generator().manual_seed(2)).to(dtype)
        self._kept = DynamicCache()
        self._cache = DynamicCache()
        self._next = torch.zeros(0, dtype=torch.long)

    @torch.inference_mode()
    def prefix(self, ids: np.ndarray, image_tokens: int) -> None:
        """See `Peer`."""
        tokens = self._model.get_input_embeddings()(torch.from_numpy(ids[:, image_tokens:]))
        images = self._images[:, :image_tokens].expand(len(ids), -1, -1)
        self._cache = DynamicCache()
        self._put(inputs_embeds=torch.cat([images, tokens], dim=1))
        self._kept = copy.deepcopy(self._cache)

    def first_token(self) -> None:
        """The arg-max is taken with the prefill."""

    @torch.inference_mode()
    def write(self, count: int) -> None:
        """See `Peer`."""
        for _ in range(count - 1):
            self._put(input_ids=self._next[:, None])

    @torch.inference_mode()
    def branch(self, ids: np.ndarray) -> None:
        """See `Peer`."""
        tiles, experts, prompt = ids.shape
        self._cache = self._kept
        self._cache.batch_repeat_interleave(experts)
        self._put(input_ids=torch.from_numpy(ids.reshape(tiles * experts, prompt)))

    def _put(self, **inputs: torch.Tensor) -> None:
        output = self._model(**inputs, past_key_values=self._cache, use_cache=True, logits_to_keep=1)
        self._next = output.logits[:, -1].argmax(-1)


def load(model: Path, threads: int, work: Work, most_tiles: int, dtype: str = "float32") -> Peer:
    """A Hugging Face directory."""
    return Transformers(model, threads, getattr(torch, dtype))
