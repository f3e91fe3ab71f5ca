"""Adapters inside int8 products: the grid of their inner values, and graphs that use it."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from export_support import TOLERANCE

from rsmoe_export.calibration.ranks import GROWTH, HEADROOM, rank_grid
from rsmoe_export.decoder.builder import DecoderOptions, build_decoder
from rsmoe_export.decoder.weights import Adapter, LowRankSet
from rsmoe_export.quantize import int8_columns
from rsmoe_export.reference.decoder import ReferenceDecoder
from rsmoe_export.reference.session import DecoderSession
from rsmoe_export.tiny import adapter

#: The tiny package's adapters, weakened so far that they fit in beside the weights.
WEAK = 1 / 64


def _product(strength: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Weight, down, up and inputs of a product whose adapters change its outputs by about `strength`."""
    random = np.random.RandomState(1)
    weight, down = random.standard_normal((96, 64)).astype(np.float32), random.standard_normal((64, 8)) / 8
    up = random.standard_normal((8, 96)) * strength
    return weight, down.astype(np.float32), up.astype(np.float32), random.standard_normal((200, 64))


def _adapters(scale: float) -> list[Adapter]:
    return [
        replace(one, pairs=LowRankSet({key: (a, b * np.float32(scale)) for key, (a, b) in one.pairs.pairs.items()}))
        for one in adapter.model().adapters
    ]


def test_weak_adapters_leave_the_weight_as_it_is_and_use_the_whole_range():
    weight, down, up, inputs = _product(0.02)
    grid = rank_grid(weight, down, up, inputs)
    columns = int8_columns(grid.weight)
    np.testing.assert_array_equal(columns.values[:, :64], int8_columns(weight).values)
    np.testing.assert_array_equal(np.abs(columns.values[:, 64:]).max(axis=0), 127)


@pytest.mark.parametrize("known", [True, False])
def test_no_inner_value_of_the_sample_is_cut_off(known):
    weight, down, up, inputs = _product(0.3)
    grid = rank_grid(weight, down, up, inputs if known else None)
    inner = inputs / np.abs(inputs).max(axis=1, keepdims=True) @ down
    reach = np.abs(inner).max(axis=0) / grid.steps
    assert reach.max() <= (1 / HEADROOM + 1e-6 if known else 1)


def test_a_product_with_its_adapters_inside_is_as_exact_as_without():
    weight, down, up, inputs = _product(0.1)
    grid = rank_grid(weight, down, up, inputs)
    unit = np.abs(inputs).max(axis=1, keepdims=True) / 127
    codes = np.rint(inputs / unit)
    inner = np.clip(np.rint(codes @ down / grid.steps), -128, 127)
    found = np.concatenate([codes, inner], axis=1) @ int8_columns(grid.weight).dequantize().T * unit
    plain = codes @ int8_columns(weight).dequantize().T * unit
    own = np.square(plain - inputs @ weight.T).mean()
    assert np.square(found - inputs @ (weight.T + down @ up)).mean() < 1.2 * own


def test_strong_adapters_stay_outside():
    weight, down, up, inputs = _product(0.1)
    strong = 100 * up
    assert rank_grid(weight, down, strong, inputs) is None
    grid = rank_grid(weight, down, up, inputs)
    energies = [np.square(np.abs(part).max(axis=1)).sum() for part in (grid.weight, weight)]
    assert energies[0] <= GROWTH * energies[1]


def test_ranks_that_are_never_used_do_no_harm():
    weight, down, up, inputs = _product(0.1)
    down[:, 2], up[3] = 0, 0
    grid = rank_grid(weight, down, up, inputs)
    assert np.isfinite(grid.weight).all()
    assert (grid.steps > 0).all()
    assert rank_grid(np.zeros_like(weight), down, up, inputs) is None


@pytest.mark.parametrize(("scale", "inside"), [(WEAK, True), (1, False)])
def test_a_graph_with_its_adapters_inside_or_outside_agrees_with_the_reference(scale, inside, tmp_path):
    tiny, adapters = adapter.model(), _adapters(scale)
    source = tiny.decoders["base"]
    path = tmp_path / "base.onnx"
    build_decoder(path, source, DecoderOptions("w8a8", adapters, tiny.output_ids, tiny.connector.image_tokens))
    nodes = [node.op_type for node in onnx.load(path, load_external_data=False).graph.node]
    # Six products a layer.
    assert nodes.count("QuantizeLinear") == (10 if inside else 4) * source.config.layers + 1
    reference = ReferenceDecoder(source, "w8a8", adapters, tiny.output_ids)
    ids = np.random.RandomState(7).randint(3, 140, (5, 9))
    session = DecoderSession(path, 5, 16, threads=1)
    found = session.run(ids, np.zeros(5), adapters=np.arange(5))["logits"]
    images = np.zeros((1, source.config.hidden))
    for row in range(5):
        cache = reference.empty_cache(16)
        hidden = reference.forward(reference.embed(ids[row], images), 0, cache, row)
        np.testing.assert_allclose(found[row], reference.logits(hidden)[-1], rtol=0, atol=TOLERANCE["w8a8"])
        bare = reference.forward(reference.embed(ids[row], images), 0, reference.empty_cache(16))
        # The tolerance tells the adapters' share from none.
        assert row == 0 or np.abs(found[row] - reference.logits(bare)[-1]).max() > 10 * TOLERANCE["w8a8"]
