"""What the runtime relies on: rows do not see each other, chunks equal one prefill, adapters act on their rows."""

import numpy as np
import pytest
from export_support import TOLERANCE, decoder, golden

from rsmoe_export.decoder.products import VARIANTS
from rsmoe_export.reference.session import DecoderSession, has_inexact_products
from rsmoe_export.tiny import adapter

#: (package, decoder) of one graph of each kind of attention: grouped queries with adapters, plain heads with biases.
KINDS = (("tiny-adapter", "base"), ("tiny-graph", "base"))
#: Differences of logits between two orders of summation in float32. int4's kernel for x86-64 without VNNI takes the
#: zero points out of a large sum: 2.4e-4 found with AVX2 alone.
ROUNDING = {"fp32": 1e-4, "w8a8": 1e-4, "int4": 1e-3 if has_inexact_products() else 1e-4}


def _ids(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.RandomState(seed).randint(3, 140, shape)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("name", "graph"), KINDS)
def test_a_batch_of_n_equals_n_singles_token_for_token(name, graph, variant):
    rows, steps = 5, 6
    lengths = np.array([7, 3, 5, 1, 7])
    ids = _ids(1, (rows, lengths.max()))
    ids[0, 2] = -1
    images = golden(name)[f"run.{variant}.image_embeddings"]
    adapters = np.arange(rows) if name == "tiny-adapter" else None
    together = decoder(name, f"{graph}.{variant}", rows)
    out = together.run(
        ids, np.zeros(rows), reads=np.arange(rows) * ids.shape[1] + lengths - 1, adapters=adapters, images=images
    )
    batch = [out]
    for step in range(steps):
        batch.append(together.run(batch[-1]["next_ids"][:, None], lengths + step, adapters=adapters))
    for row in range(rows):
        alone = decoder(name, f"{graph}.{variant}", 1)
        own = None if adapters is None else adapters[row : row + 1]
        out = alone.run(ids[row : row + 1, : lengths[row]], np.zeros(1), adapters=own, images=images)
        for step in range(steps + 1):
            assert out["next_ids"][0] == batch[step]["next_ids"][row]
            np.testing.assert_allclose(out["logits"][0], batch[step]["logits"][row], rtol=0, atol=ROUNDING[variant])
            if step < steps:
                out = alone.run(out["next_ids"][:, None], lengths[row : row + 1] + step, adapters=own)


def test_a_w8a8_row_is_the_same_to_the_last_bit_whatever_its_neighbours_hold():
    ids = _ids(2, (4, 5))
    other = ids.copy()
    other[1:] = _ids(3, (3, 5))
    first, second = (decoder("tiny-adapter", "base.w8a8", 4).run(rows, np.zeros(4)) for rows in (ids, other))
    np.testing.assert_array_equal(first["logits"][0], second["logits"][0])
    assert not np.array_equal(first["logits"][1], second["logits"][1])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("name", "graph"), KINDS)
def test_a_prefill_in_chunks_equals_one_prefill(name, graph, variant):
    ids = _ids(4, (2, 9))
    whole = decoder(name, f"{graph}.{variant}", 2)
    expected = whole.run(ids, np.zeros(2))
    parts = decoder(name, f"{graph}.{variant}", 2)
    for start, end in ((0, 4), (4, 5), (5, 9)):
        found = parts.run(ids[:, start:end], np.full(2, start))
    np.testing.assert_allclose(found["logits"], expected["logits"], rtol=0, atol=TOLERANCE[variant])
    for cache in whole.caches:
        np.testing.assert_allclose(parts.cache(cache), whole.cache(cache), rtol=0, atol=TOLERANCE[variant])


@pytest.mark.parametrize("variant", VARIANTS)
def test_tokens_that_are_read_together_give_what_each_gives_as_the_last(variant):
    ids, adapters = _ids(12, (2, 4)), np.array([1, 3])
    together = decoder("tiny-adapter", f"base.{variant}", 2)
    together.run(ids[:, :2], np.zeros(2), adapters=adapters)
    out = together.run(ids[:, 2:], np.full(2, 2), reads=np.array([3, 0, 2, 1]), adapters=adapters)
    for read, (row, length) in enumerate(((1, 4), (0, 3), (1, 3), (0, 4))):
        alone = decoder("tiny-adapter", f"base.{variant}", 1)
        single = alone.run(ids[row : row + 1, :length], np.zeros(1), adapters=adapters[row : row + 1])
        np.testing.assert_allclose(out["logits"][read], single["logits"][0], rtol=0, atol=TOLERANCE[variant])
        assert out["next_ids"][read] == single["next_ids"][0]


def test_the_cache_is_written_in_place_and_only_where_new_tokens_go():
    session = decoder("tiny-adapter", "base.fp32", 3, capacity=12)
    before = {name: np.random.RandomState(6).standard_normal(session.cache(name).shape) for name in session.caches}
    for name, values in before.items():
        session.set_cache(name, values.astype(np.float32))
    past = np.array([0, 4, 7])
    session.run(_ids(7, (3, 2)), past)
    for name, values in before.items():
        changed = (session.cache(name) != values.astype(np.float32)).any(axis=(1, 3))
        expected = np.zeros((3, 12), bool)
        for row, start in enumerate(past):
            expected[row, start : start + 2] = True
        np.testing.assert_array_equal(changed, expected)


def test_what_lies_beyond_a_rows_length_is_never_seen():
    clean, dirty = (decoder("tiny-adapter", "base.fp32", 2, capacity=16) for _ in range(2))
    for name in dirty.caches:
        dirty.set_cache(name, np.full(dirty.cache(name).shape, 1e6, np.float32))
    ids = _ids(8, (2, 4))
    np.testing.assert_array_equal(clean.run(ids, np.zeros(2))["logits"], dirty.run(ids, np.zeros(2))["logits"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_adapter_zero_is_the_bare_base_and_rows_of_all_adapters_mix(variant, tmp_path):
    from rsmoe_export.decoder.builder import DecoderOptions, build_decoder

    tiny = adapter.model()
    options = DecoderOptions(variant, (), tiny.output_ids, tiny.connector.image_tokens)
    build_decoder(tmp_path / "bare.onnx", tiny.decoders["base"], options)
    bare = DecoderSession(tmp_path / "bare.onnx", 1, 96, threads=1)
    ids = _ids(9, (1, 6))
    expected = bare.run(ids, np.zeros(1))["logits"][0]
    mixed = decoder("tiny-adapter", f"base.{variant}", 5)
    logits = mixed.run(np.repeat(ids, 5, axis=0), np.zeros(5), adapters=np.array([3, 0, 1, 4, 2]))["logits"]
    np.testing.assert_allclose(logits[1], expected, rtol=0, atol=ROUNDING[variant])
    for row, number in ((0, 3), (2, 1), (3, 4), (4, 2)):
        alone = decoder("tiny-adapter", f"base.{variant}", 1)
        single = alone.run(ids, np.zeros(1), adapters=np.array([number]))["logits"][0]
        np.testing.assert_allclose(logits[row], single, rtol=0, atol=ROUNDING[variant])
        assert np.abs(logits[row] - expected).max() > 0.1


def test_a_row_of_zeros_passes_the_w8a8_products():
    session = decoder("tiny-graph", "base.w8a8", 1)
    out = session.run(np.array([[-1]]), np.zeros(1), images=np.zeros(session.image_shape, np.float32))
    assert np.isfinite(out["logits"]).all()
