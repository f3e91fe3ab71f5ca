"""The vision transformer and the paper's packages, tiny: graphs against the float64 reference."""

import numpy as np
import onnx
import pytest
from export_support import VISION_TOLERANCE, run_graph

from rsmoe_export.connector.qformer import QFormerSpec
from rsmoe_export.connector.qformer import tensor_shapes as qformer_shapes
from rsmoe_export.package import Package
from rsmoe_export.random_package import SHAPES
from rsmoe_export.random_vision import EVA_CLIP_G, vit_and_qformer
from rsmoe_export.reference import vision
from rsmoe_export.tiny import common
from rsmoe_export.vision.vit import VitSpec, build_vit, tensor_shapes

SPEC = VitSpec(side=42, patch=14, width=32, heads=4, layers=3, intermediate=48)


def _pixels(count: int) -> np.ndarray:
    return np.random.RandomState(2).standard_normal((count, 3, SPEC.side, SPEC.side)).astype(np.float32)


@pytest.mark.parametrize("variant", ["fp32", "w8a8"])
def test_the_graph_equals_the_reference_for_every_image_of_a_batch(variant, tmp_path):
    weights = common.RandomTensors(tensor_shapes(SPEC), 5)
    files = build_vit(tmp_path / "vision.onnx", SPEC, weights, variant)
    assert files.data == ["vision.onnx.data"]
    pixels = _pixels(3)
    found = run_graph(tmp_path / "vision.onnx", {"pixel_values": pixels})["features"]
    assert found.shape == (3, SPEC.tokens, SPEC.width)
    for image in range(3):
        expected = vision.vit(SPEC, weights, pixels[image], variant)
        np.testing.assert_allclose(found[image], expected, rtol=0, atol=VISION_TOLERANCE)


def test_an_image_looks_the_same_whatever_is_beside_it(tmp_path):
    build_vit(tmp_path / "vision.onnx", SPEC, common.RandomTensors(tensor_shapes(SPEC), 5), "w8a8")
    pixels = _pixels(4)
    together = run_graph(tmp_path / "vision.onnx", {"pixel_values": pixels})["features"]
    alone = run_graph(tmp_path / "vision.onnx", {"pixel_values": pixels[2:3]})["features"]
    np.testing.assert_allclose(together[2:3], alone, rtol=0, atol=1e-5)


def test_the_papers_encoder_has_its_number_of_parameters_and_tokens():
    shapes = tensor_shapes(EVA_CLIP_G)
    assert EVA_CLIP_G.tokens == 257
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == pytest.approx(0.99e9, rel=0.01)


def test_the_papers_language_models_have_llamas_frequencies():
    # transformers, LlamaRotaryEmbedding of Llama-3.2-1B: the first four and the last of 32.
    frequencies = SHAPES["paper"].decoder.inverse_frequencies()
    expected = [1.0, 0.66360, 0.44037, 0.29223]
    np.testing.assert_allclose(frequencies[:4], expected, rtol=1e-4)
    np.testing.assert_allclose(frequencies[-1], 500000.0 ** (-62 / 64) / 32, rtol=1e-4)


def test_a_tiny_package_of_the_papers_kind_has_its_entries_and_streams_its_weights(tmp_path):
    connector = QFormerSpec(
        vocabulary=260,
        width=32,
        heads=2,
        layers=2,
        intermediate=48,
        max_positions=32,
        queries=4,
        cells=(SPEC.tokens,),
        channels=SPEC.width,
        hidden=16,
    )
    package = Package(tmp_path)
    eyes = vit_and_qformer(package, SPEC, connector, 1)
    assert eyes.image_tokens == 4
    assert eyes.connector_entry["max_instruction_tokens"] == 32
    for name in ("vision", "connector"):
        assert package.graphs[name].data == [f"{name}.onnx.data"]
        onnx.checker.check_model(str(package.path(f"{name}.onnx")))
    pixels = _pixels(2)
    features = run_graph(tmp_path / "vision.onnx", {"pixel_values": pixels})["features"]
    ids = np.array([[1, 7, 9], [4, 2, 0]])
    mask = np.array([[1, 1, 1], [1, 1, 0]])
    inputs = {"features": features, "instruction_ids": ids, "instruction_mask": mask}
    found = run_graph(tmp_path / "connector.onnx", inputs)["image_embeddings"]
    weights = common.random_tensors(qformer_shapes(connector), 2001)
    for row in range(2):
        expected = vision.qformer(connector, weights, features[row], ids[row], mask[row])
        np.testing.assert_allclose(found[row], expected, rtol=0, atol=VISION_TOLERANCE)
