"""Familiarity and concept tokens: the graphs against their definitions, and what is refused."""

import numpy as np
import pytest
from export_support import VISION_TOLERANCE, run_graph

from rsmoe_export.connector.concepts import TENSORS, has_concepts
from rsmoe_export.connector.projection import ProjectionSpec, build_projection, tensor_shapes
from rsmoe_export.reference import vision
from rsmoe_export.tiny import common
from rsmoe_export.vision import efficientnet
from rsmoe_export.vision.familiarity import Familiarity
from rsmoe_export.vision.int8 import Int8Tower

CHANNELS, HIDDEN = 24, 16
BLOCKS = [block.outputs for block in common.tiny_tower(32, 24).blocks]
BLOCK = 2
POOLED = CHANNELS + BLOCKS[BLOCK]


def _tensors(seed: int = 1) -> dict[str, np.ndarray]:
    random = np.random.RandomState(seed)
    return {
        "block": np.array([BLOCK]),
        "mean": random.standard_normal(POOLED),
        "projection": random.standard_normal((POOLED, 5)) * 0.2,
        "centres": random.standard_normal((4, 5)),
        "scale": np.array([2.0, 1.5]),
    }


def _familiarity() -> Familiarity:
    return Familiarity.from_tensors(_tensors(), CHANNELS, BLOCKS)


def test_familiarity_is_the_distance_to_the_nearest_centre(tmp_path):
    spec, weights = common.tiny_tower(32, 24), _familiarity()
    tensors = common.random_tensors(efficientnet.tensor_shapes(spec), 7)
    efficientnet.build_tower(tmp_path / "vision.onnx", spec, tensors, weights)
    pixels = np.random.RandomState(2).standard_normal((3, 3, 32, 24)).astype(np.float32)
    found = run_graph(tmp_path / "vision.onnx", {"pixel_values": pixels})
    assert list(found) == ["features", "familiarity"]
    early = []
    for image in pixels:
        seen: dict[str, np.ndarray] = {}
        vision.tower(spec, tensors, image, observe=seen.__setitem__)
        early.append(seen[f"b{BLOCK}"].mean(axis=(1, 2)))
    pooled = np.concatenate([found["features"].astype(np.float64).mean(axis=(1, 2)), early], axis=1)
    z = (pooled - weights.mean) @ weights.projection
    squares = ((z[:, None] - weights.centres[None]) ** 2).sum(axis=2).min(axis=1)
    expected = 1 / (1 + np.exp(-(2.0 - 1.5 * np.sqrt(squares / 5))))
    assert expected.std() > 0.001
    np.testing.assert_allclose(found["familiarity"], expected, rtol=0, atol=VISION_TOLERANCE)


def test_an_image_at_a_centre_has_the_highest_familiarity():
    weights = _familiarity()
    inverse = np.linalg.pinv(weights.projection.astype(np.float64))
    features, early = np.split(weights.mean + weights.centres[2] @ inverse, [CHANNELS])
    features, early = features[None, None], early[:, None, None]
    assert vision.familiarity(weights, features, early) == pytest.approx(1 / (1 + np.exp(-2.0)))
    assert vision.familiarity(weights, features + 9, early) < 0.2
    assert vision.familiarity(weights, features, early + 20) < 0.2


@pytest.mark.parametrize(
    ("name", "shape"), [("mean", (3,)), ("mean", (CHANNELS,)), ("centres", (4, 6)), ("scale", (3,)), ("block", (2,))]
)
def test_familiarity_tensors_of_another_shape_are_named(name, shape):
    tensors = _tensors()
    with pytest.raises(ValueError, match=f"familiarity tensor '{name}'"):
        Familiarity.from_tensors(tensors | {name: np.zeros(shape)}, CHANNELS, BLOCKS)
    del tensors[name]
    with pytest.raises(ValueError, match="expected block, mean, projection, centres, scale"):
        Familiarity.from_tensors(tensors, CHANNELS, BLOCKS)


def test_familiarity_of_a_block_that_the_tower_lacks_or_rounds_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'block': expected one of 0 to 3, found \\[4\\]"):
        Familiarity.from_tensors(_tensors() | {"block": np.array([len(BLOCKS)])}, CHANNELS, BLOCKS)
    spec = common.tiny_tower(32, 24)
    tensors = common.random_tensors(efficientnet.tensor_shapes(spec), 7)
    with pytest.raises(ValueError, match="float_blocks: 2, but familiarity reads block 2 in float"):
        efficientnet.build_tower(tmp_path / "vision.onnx", spec, tensors, _familiarity(), Int8Tower(BLOCK, {}))


@pytest.mark.parametrize("grid", [(8, 8), (7, 5)])
def test_concept_tokens_follow_the_grids_tokens(grid, tmp_path):
    spec = ProjectionSpec(*grid, CHANNELS, HIDDEN, concepts=True)
    weights = common.random_tensors(tensor_shapes(spec, 12, classes=6, words=9), 3)
    build_projection(tmp_path / "connector.onnx", spec, weights)
    features = np.abs(np.random.RandomState(4).standard_normal((2, *grid, CHANNELS))).astype(np.float32)
    found = run_graph(tmp_path / "connector.onnx", {"features": features})["image_embeddings"]
    assert found.shape == (2, spec.image_tokens, HIDDEN)
    assert spec.image_tokens == spec.grid_tokens + 2
    # The average is over the cells that there are: padding to whole blocks does not count.
    pooled = features.astype(np.float64).mean(axis=(1, 2))
    logits = pooled @ weights["classes.weight"].T + weights["classes.bias"]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    present = 1 / (1 + np.exp(-(pooled @ weights["words.weight"].T + weights["words.bias"])))
    expected = [
        shares @ weights["class_table"] + weights["concept_position"][0],
        present @ weights["word_table"] + weights["concept_position"][1],
    ]
    np.testing.assert_allclose(found[:, -2:].swapaxes(0, 1), expected, rtol=0, atol=VISION_TOLERANCE)
    plain = ProjectionSpec(*grid, CHANNELS, HIDDEN)
    build_projection(tmp_path / "plain.onnx", plain, weights)
    without = run_graph(tmp_path / "plain.onnx", {"features": features})["image_embeddings"]
    np.testing.assert_array_equal(found[:, :-2], without)


def test_half_of_the_concept_tensors_are_refused():
    weights = dict.fromkeys(TENSORS, np.zeros(1))
    assert has_concepts(weights)
    assert not has_concepts({})
    del weights["word_table"]
    with pytest.raises(ValueError, match="'word_table' of the concept tokens is missing"):
        has_concepts(weights)


def test_a_picture_of_256_pixels_gives_eight_by_eight_cells_and_no_padding():
    spec = efficientnet.lite("lite2", 256, 256)
    assert spec.grid == (8, 8)
    assert ProjectionSpec(*spec.grid, spec.head, 576, concepts=True).image_tokens == 18
