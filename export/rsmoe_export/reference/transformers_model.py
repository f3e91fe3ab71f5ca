"""transformers' own implementation as the reference of a real decoder. Needs torch and transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

_MODULES = {
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}


def from_gguf(path: Path) -> PreTrainedModel:
    """The checkpoint as transformers reads it, float32."""
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    return model.eval()


def from_directory(path: Path) -> PreTrainedModel:
    """A Hugging Face directory, float32."""
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()


def keep_layers(model: PreTrainedModel, layers: Sequence[int]) -> None:
    """Leaves only the given layers, numbered from 0."""
    chosen = [model.model.layers[number] for number in layers]
    for number, layer in enumerate(chosen):
        layer.self_attn.layer_idx = number
    model.model.layers = torch.nn.ModuleList(chosen)
    model.config.num_hidden_layers = len(chosen)


@torch.no_grad()
def add_low_rank(model: PreTrainedModel, tensors: Mapping[str, np.ndarray], prefix: str = "") -> None:
    """Adds `(a @ b)^T` of `{prefix}layers.{i}.{projection}.{a,b}` to the model's linear layers."""
    for name in tensors:
        if name.startswith(f"{prefix}layers.") and name.endswith(".a"):
            _, layer, projection, _ = name[len(prefix) :].split(".")
            a, b = (torch.from_numpy(np.array(tensors[name[:-1] + half], np.float64)) for half in "ab")
            module = model.get_submodule(f"model.layers.{layer}.{_MODULES[projection]}")
            module.weight += (a @ b).T.to(module.weight.dtype)


class Continuation:
    """One sequence through transformers' own cache."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model, self.past = model, None

    @torch.no_grad()
    def feed(self, ids: np.ndarray, images: np.ndarray | None = None) -> np.ndarray:
        """Logits float64 `[vocabulary]` after the last of ids `[new]`; id < 0 is row `-(id + 1)` of images."""
        table = self.model.get_input_embeddings().weight
        rows = [table[i] if i >= 0 else torch.from_numpy(images[-(i + 1)]) for i in ids.tolist()]
        out = self.model(inputs_embeds=torch.stack(rows)[None], past_key_values=self.past, use_cache=True)
        self.past = out.past_key_values
        return out.logits[0, -1].double().numpy()
