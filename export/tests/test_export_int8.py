"""The int8 tower: its grids, its ranges, and what ONNX Runtime makes of its graph."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from export_support import INT8_TOWER_TOLERANCE, PACKAGES, VISION_TOLERANCE, run_graph

from rsmoe_export import manifest
from rsmoe_export.calibration import ranges
from rsmoe_export.reference import vision
from rsmoe_export.tiny import adapter, common
from rsmoe_export.vision.efficientnet import build_tower, tensor_shapes
from rsmoe_export.vision.int8 import Grid, Int8Kernel, Int8Tower

SPEC = common.tiny_tower(32, 24)
WEIGHTS = common.random_tensors(tensor_shapes(SPEC), 7)


def _pictures(seed: int, count: int) -> np.ndarray:
    return np.random.RandomState(seed).uniform(-2, 2.5, (count, 3, 32, 24)).astype(np.float32)


@pytest.fixture(scope="module")
def recorded() -> dict:
    return ranges.record(SPEC, WEIGHTS, _pictures(1, 6))[0]


@pytest.mark.parametrize(("low", "high"), [(0, 6), (-3.5, 1.25), (-2, -1), (0.5, 2), (0, 0)])
def test_a_grid_holds_zero_and_reaches_both_ends(low, high):
    grid = Grid.covering(low, high)
    values = (np.arange(256) - grid.zero_point) * np.float64(grid.scale)
    assert 0 in values
    assert 0 <= grid.zero_point <= 255
    # Half a step is lost where the grid is shifted to hold 0.
    assert values[0] <= min(low, 0) + grid.scale / 2 * 1.0001
    assert values[-1] >= max(high, 0) - grid.scale / 2 * 1.0001


def test_weights_are_rounded_by_output_and_biases_to_what_the_accumulator_counts():
    kernel = np.random.RandomState(2).standard_normal((5, 3, 3, 3)).astype(np.float32)
    bias = np.arange(5, dtype=np.float32)
    rounded = Int8Kernel.rounded(kernel, bias, Grid(np.float32(0.02), 3))
    values = rounded.values * rounded.scale[:, None, None, None]
    assert (np.abs(values - kernel).max(axis=(1, 2, 3)) <= rounded.scale * 0.5001).all()
    assert np.abs(rounded.values).max(axis=(1, 2, 3)).tolist() == [127] * 5
    np.testing.assert_allclose(rounded.bias_scale, rounded.scale * 0.02, rtol=1e-6)
    np.testing.assert_allclose(rounded.bias * rounded.bias_scale, bias, atol=rounded.bias_scale.max() / 2)


def test_an_output_without_weights_keeps_its_bias():
    # A trained tower has such channels: a bias in steps of their tiny weights would not fit into 32 bits.
    kernel = np.full((1, 4, 1, 1), 1e-25, np.float32)
    rounded = Int8Kernel.rounded(kernel, np.array([2.5], np.float32), Grid(np.float32(0.02), 0))
    np.testing.assert_allclose(rounded.bias * rounded.bias_scale, 2.5, rtol=1e-6)
    assert (rounded.values == 0).all()


@pytest.mark.parametrize("float_blocks", range(len(SPEC.blocks)))
def test_the_graph_agrees_with_the_reference_wherever_int8_begins(recorded, float_blocks, tmp_path):
    int8 = Int8Tower(float_blocks, recorded)
    build_tower(tmp_path / "vision.onnx", SPEC, WEIGHTS, int8=int8)
    pictures = _pictures(3, 3)
    found = run_graph(tmp_path / "vision.onnx", {"pixel_values": pictures})["features"]
    for image, picture in zip(found, pictures, strict=True):
        expected = vision.tower(SPEC, WEIGHTS, picture, int8)
        np.testing.assert_allclose(image, expected, rtol=0, atol=INT8_TOWER_TOLERANCE)
        assert np.abs(image - expected).mean() < VISION_TOLERANCE
        alone = run_graph(tmp_path / "vision.onnx", {"pixel_values": picture[None]})["features"][0]
        np.testing.assert_array_equal(alone, image)


def test_every_int8_convolution_runs_in_integers(tmp_path):
    settings = onnxruntime.SessionOptions()
    settings.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    settings.log_severity_level = 3
    path = PACKAGES / "tiny-adapter" / "vision.int8.onnx"
    onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    blocks = adapter.model().tower.blocks[adapter.FLOAT_BLOCKS :]
    convolutions = sum(2 + (block.expand != 1) for block in blocks) + 1
    assert kinds.count("QLinearConv") == convolutions
    assert kinds.count("QLinearAdd") == sum(block.has_skip for block in blocks)
    # One way in, one way out to the features and one to the familiarity: nothing in between goes through floats.
    assert (kinds.count("QuantizeLinear"), kinds.count("DequantizeLinear")) == (1, 2)


def test_ranges_hold_every_value_that_was_seen_and_little_more():
    pictures = _pictures(4, 3)
    found, count = ranges.record(SPEC, WEIGHTS, pictures)
    assert count == 3
    seen: dict[str, list[np.ndarray]] = {}
    for picture in pictures:
        vision.tower(SPEC, WEIGHTS, picture, observe=lambda name, values: seen.setdefault(name, []).append(values))
    assert set(found) == set(seen)
    assert {"stem", "b0.depthwise", "b0.project", "b0", "b1.expand", "b3", "head"} <= set(found)
    slack = 10**-ranges.DECIMALS
    for name, (low, high) in found.items():
        assert np.min(seen[name]) - slack < low <= np.min(seen[name])
        assert np.max(seen[name]) <= high < np.max(seen[name]) + slack
    assert ranges.record(SPEC, WEIGHTS, pictures[::-1]) == (found, count)


def test_ranges_are_read_back_and_belong_to_their_tower(recorded, tmp_path):
    tower, path = tmp_path / "tower.safetensors", tmp_path / "vision_ranges.json"
    tower.write_bytes(b"weights")
    path.write_text(ranges.document(tower, recorded, 6))
    assert ranges.read(path, tower) == recorded
    assert json.loads(path.read_text())["pictures"] == 6
    tower.write_bytes(b"other weights")
    with pytest.raises(ValueError, match=r"recorded with another tower than tower.safetensors.*rsmoe_train ranges"):
        ranges.read(path, tower)
    for broken in ({"stem": [1, 0]}, {"stem": [0, float("nan")]}, {"stem": [0, float("inf")]}):
        path.write_text(ranges.document(tower, broken, 6))
        with pytest.raises(ValueError, match="'stem': expected a finite lowest and highest value"):
            ranges.read(path, tower)
    for broken in ("", "[]", "{}", '{"tower_sha256": "", "ranges": {"stem": 1}}'):
        path.write_text(broken)
        with pytest.raises(ValueError, match="not a file of vision ranges"):
            ranges.read(path, tower)


def test_what_cannot_be_built_is_said(recorded, tmp_path):
    for blocks in (-1, len(SPEC.blocks)):
        with pytest.raises(ValueError, match=f"float_blocks: expected 0 to 3, found {blocks}"):
            build_tower(tmp_path / "vision.onnx", SPEC, WEIGHTS, int8=Int8Tower(blocks, recorded))
    fewer = {name: span for name, span in recorded.items() if name != "b3.expand"}
    with pytest.raises(ValueError, match=r"none for 'b3.expand': record them again"):
        build_tower(tmp_path / "vision.onnx", SPEC, WEIGHTS, int8=Int8Tower(1, fewer))


def test_a_package_has_the_vision_graphs_that_its_variants_run():
    def graphs(variants: list[str], *, int8: bool) -> tuple[str, dict]:
        entry = manifest.vision_entry(8, 8, [0], [1], graphs=manifest.vision_graphs(variants, int8=int8))
        return entry["graph"], entry.get("variants", {})

    assert graphs(["w8a8"], int8=True) == ("vision.int8", {})
    assert graphs(["w8a8", "int4"], int8=True) == ("vision.int8", {})
    assert graphs(["fp32"], int8=True) == ("vision", {})
    assert graphs(["fp32", "w8a8"], int8=True) == ("vision", {"w8a8": {"graph": "vision.int8"}})
    assert graphs(["fp32", "w8a8"], int8=False) == ("vision", {})
