"""Readers: GGUF with its head order, legacy torch pickles, safetensors dtypes, quantized tables."""

import pickle
import struct

import gguf
import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from rsmoe_export import quantize
from rsmoe_export.llama import golden, open_checkpoint
from rsmoe_export.sources import gguf_file
from rsmoe_export.sources.gguf_file import GgufSource
from rsmoe_export.sources.tensor_files import TensorFile
from rsmoe_export.sources.torch_pickle import read_state_dict
from rsmoe_export.tiny import adapter, text

_GGUF_NAMES = {
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "o": "attn_output",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}


def _permuted(weight: np.ndarray, heads: int) -> np.ndarray:
    """What llama.cpp's converter does to queries and keys."""
    return weight.reshape(heads, 2, len(weight) // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def _write_gguf(path, source) -> None:
    config, writer = source.config, gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_positions)
    writer.add_embedding_length(config.hidden)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.intermediate)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_epsilon)
    writer.add_rope_freq_base(config.rope_theta)
    merges = text.byte_pair_merges(text.CORPUS, adapter.MERGES)
    _, tokens = text.language_tokenizer(adapter.MERGES)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(text.SPECIAL) + [1] * (len(tokens) - len(text.SPECIAL)))
    writer.add_token_merges([f"{left} {right}" for left, right in merges])
    q8 = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor("token_embd.weight", gguf.quants.quantize(source.embedding(), q8), raw_dtype=q8)
    writer.add_tensor("output.weight", source.head())
    writer.add_tensor("output_norm.weight", source.final_norm())
    for index in range(config.layers):
        layer = source.layer(index)
        writer.add_tensor(f"blk.{index}.attn_norm.weight", layer.input_norm)
        writer.add_tensor(f"blk.{index}.ffn_norm.weight", layer.post_norm)
        for name, weight in layer.projections.items():
            heads = {"q": config.heads, "k": config.key_value_heads}.get(name)
            weight = np.ascontiguousarray(_permuted(weight, heads) if heads else weight)
            writer.add_tensor(f"blk.{index}.{_GGUF_NAMES[name]}.weight", weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    _write_gguf(path, adapter.model().decoders["base"])
    return path


def test_a_gguf_file_gives_back_weights_in_hugging_face_order(checkpoint):
    read, source = GgufSource(checkpoint), adapter.model().decoders["base"]
    assert read.config.hidden == source.config.hidden
    assert read.config.key_value_heads == source.config.key_value_heads
    for index in range(source.config.layers):
        for name, weight in source.layer(index).projections.items():
            np.testing.assert_array_equal(read.layer(index).projections[name], weight)
    table = read.embedding()
    assert isinstance(table, quantize.Int8Blocks)
    expected = gguf.quants.dequantize(
        gguf.quants.quantize(source.embedding(), gguf.GGMLQuantizationType.Q8_0), gguf.GGMLQuantizationType.Q8_0
    )
    np.testing.assert_array_equal(table.dequantize(), expected)


def test_a_gguf_files_tokenizer_is_rebuilt(checkpoint):
    rebuilt = Tokenizer.from_str(GgufSource(checkpoint).tokenizer_json().decode())
    document, _ = text.language_tokenizer(adapter.MERGES)
    original = Tokenizer.from_str(document.decode())
    for sample in (
        "The scene is an airport. 1234",
        "<|im_start|>user\nnaïve 日本<|im_end|>\n",
        " two  spaces\n\nlines",
    ):
        assert rebuilt.encode(sample).ids == original.encode(sample).ids
        assert rebuilt.decode(rebuilt.encode(sample).ids, skip_special_tokens=False) == sample


def test_the_golden_file_of_a_checkpoint_follows_its_prompt(checkpoint):
    vectors = golden(open_checkpoint(checkpoint), np.array([5, 9, 100, 7]))
    assert vectors["out.logits"].shape == (1, GgufSource(checkpoint).config.vocabulary)
    assert vectors["out.next_ids"][0, -1] == vectors["out.logits"][0].argmax()


def test_something_else_is_no_checkpoint(tmp_path):
    with pytest.raises(ValueError, match="neither"):
        open_checkpoint(tmp_path)


def test_bfloat16_and_float16_are_widened_exactly(tmp_path):
    values = np.array([[1.5, -2.25], [3.0, 0.0078125]], np.float32)
    save_file({"half": values.astype(np.float16), "ids": np.array([1, 2], np.int64)}, tmp_path / "a.safetensors")
    file = TensorFile(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(file["half"], values)
    assert file["ids"].dtype == np.int64
    raw = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    header = b'{"b":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]}}'
    (tmp_path / "b.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + raw)
    np.testing.assert_array_equal(TensorFile(tmp_path / "b.safetensors")["b"], values)


def test_a_file_that_is_not_safetensors_is_refused(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(ValueError, match="not a safetensors file"):
        TensorFile(tmp_path / "x.safetensors")


def test_legacy_torch_files_are_read_as_torch_reads_them(tmp_path):
    torch = pytest.importorskip("torch")
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    state = {"whole": base, "part": base[1:3, ::2], "count": torch.tensor(7), "half": base.half()}
    torch.save(state, tmp_path / "state.pth", _use_new_zipfile_serialization=False)
    read = read_state_dict(tmp_path / "state.pth")
    assert list(read) == list(state)
    for name, tensor in state.items():
        np.testing.assert_array_equal(read[name], tensor.numpy())


def test_a_pickle_that_wants_to_run_code_is_refused(tmp_path):
    class Attack:
        def __reduce__(self):
            return print, ("run",)

    (tmp_path / "bad.pth").write_bytes(pickle.dumps(Attack(), protocol=2))
    with pytest.raises(ValueError, match="no need of"):
        read_state_dict(tmp_path / "bad.pth")
    (tmp_path / "other.pth").write_bytes(pickle.dumps(5, protocol=2) * 2)
    with pytest.raises(ValueError, match="not a legacy torch file"):
        read_state_dict(tmp_path / "other.pth")


@pytest.mark.parametrize("shape", [(6, 64), (5, 96)])
def test_quantized_weights_stay_within_half_a_step(shape):
    weight = np.random.RandomState(1).standard_normal(shape).astype(np.float32)
    columns = quantize.int8_columns(weight)
    assert np.abs(columns.dequantize() - weight).max() <= columns.scale.max() / 2 * 1.001
    blocks = quantize.int8_blocks(weight)
    assert np.abs(blocks.dequantize() - weight).max() <= blocks.scale.max() / 2 * 1.001
    four = quantize.int4_blocks(weight)
    plain = np.ptp(weight.reshape(shape[0], -1, quantize.BLOCK), axis=2).max() / 15
    assert np.sqrt(np.square(four.dequantize() - weight).mean()) < plain / np.sqrt(12) * 1.1
    packed, zeros = four.packed(), four.packed_zero_points()
    np.testing.assert_array_equal(packed & 15, four.codes[..., 0::2])
    np.testing.assert_array_equal(packed >> 4, four.codes[..., 1::2])
    assert zeros.shape == (shape[0], (shape[1] // quantize.BLOCK + 1) // 2)


def test_zero_weights_quantize_to_zero():
    zero = np.zeros((2, 64), np.float32)
    for quantized in (quantize.int8_columns(zero), quantize.int8_blocks(zero), quantize.int4_blocks(zero)):
        np.testing.assert_array_equal(quantized.dequantize(), zero)


def test_gguf_rows_are_put_back_into_halves():
    # one head of width 4: GGUF interleaves the halves, rows 0 2 | 1 3
    assert gguf_file._unpermute(np.array([[0], [2], [1], [3]]), 1).ravel().tolist() == [0, 1, 2, 3]
