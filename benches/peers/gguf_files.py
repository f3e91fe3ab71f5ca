"""GGUF files of a real model's shape with random weights, all distinct, so that nothing can be merged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter


@dataclass(frozen=True)
class Shape:
    """Sizes of a Llama."""

    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_value_heads: int
    head_dim: int
    #: The embedding is the output head, too.
    is_tied: bool


#: The shapes of `rsmoe_export random`, the decoder of rsmoe-mini, and one that is ready in seconds.
SHAPES = {
    "tinyllama": Shape(32000, 2048, 5632, 22, 32, 4, 64, False),
    "smollm2": Shape(49152, 576, 1536, 30, 9, 3, 64, True),
    "mini": Shape(49152, 576, 1536, 20, 9, 3, 64, True),
    "tiny": Shape(32000, 128, 352, 2, 4, 2, 32, True),
}
CONTEXT = 512
EPSILON = 1e-5
ROPE_BASE = 10000.0
TYPES = {"q4_0": GGMLQuantizationType.Q4_0, "q8_0": GGMLQuantizationType.Q8_0}


def write(path: Path, shape: Shape, kind: str) -> None:
    """Writes a file whose layers are of `kind`; embedding and head are Q8_0, finer, as in published files."""
    writer = GGUFWriter(path, "llama")
    writer.add_name(path.stem)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.intermediate)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.key_value_heads)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_layer_norm_rms_eps(EPSILON)
    writer.add_rope_freq_base(ROPE_BASE)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0 if kind == "q4_0" else gguf.LlamaFileType.MOSTLY_Q8_0)
    _add_vocabulary(writer, shape.vocabulary)
    generator = np.random.default_rng(1)
    fine = GGMLQuantizationType.Q8_0
    _add(writer, "token_embd.weight", generator, (shape.vocabulary, shape.hidden), fine)
    if not shape.is_tied:
        _add(writer, "output.weight", generator, (shape.vocabulary, shape.hidden), fine)
    writer.add_tensor("output_norm.weight", np.ones(shape.hidden, np.float32))
    queries, keys = shape.heads * shape.head_dim, shape.key_value_heads * shape.head_dim
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"{block}{name}.weight", np.ones(shape.hidden, np.float32))
        for name, size in (
            ("attn_q", (queries, shape.hidden)),
            ("attn_k", (keys, shape.hidden)),
            ("attn_v", (keys, shape.hidden)),
            ("attn_output", (shape.hidden, queries)),
            ("ffn_gate", (shape.intermediate, shape.hidden)),
            ("ffn_up", (shape.intermediate, shape.hidden)),
            ("ffn_down", (shape.hidden, shape.intermediate)),
        ):
            _add(writer, f"{block}{name}.weight", generator, size, TYPES[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add(
    writer: GGUFWriter, name: str, generator: np.random.Generator, size: tuple[int, int], kind: GGMLQuantizationType
) -> None:
    weights = generator.standard_normal(size, np.float32) / np.sqrt(size[1], dtype=np.float32)
    writer.add_tensor(name, gguf.quants.quantize(weights, kind), raw_dtype=kind)


def _add_vocabulary(writer: GGUFWriter, size: int) -> None:
    """Made-up words behind the three special tokens; two letters and a merge make the tokenizer valid."""
    tokens = ["<unk>", "<s>", "</s>", "a", "b", "ab"]
    types = [gguf.TokenType.UNKNOWN, *[gguf.TokenType.CONTROL] * 2]
    tokens += [f"w{index}" for index in range(size - len(tokens))]
    types += [gguf.TokenType.NORMAL] * (size - len(types))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template("{% for message in messages %}{{ message['content'] }}{% endfor %}")
