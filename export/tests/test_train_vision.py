"""The vision stage: what its tower computes, how images are changed, how familiarity is fitted."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rsmoe_export.reference import vision as reference  # noqa: E402
from rsmoe_export.vision import efficientnet  # noqa: E402
from rsmoe_train import data, familiarity, kernels, pictures, tower, vision  # noqa: E402
from rsmoe_train.connector import CONCEPT_TOKENS, GRID_TOKENS, Connector, Start  # noqa: E402

# Torch in float32 against numpy in float64: largest difference of pooled channels, which are below 6 or so.
TOWER_TOLERANCE = 1e-4


def sample(index, source, scene):
    return data.Sample(index, None, source, "train", scene, ["a road ."] * 5)


def test_the_depthwise_convolution_has_the_gradients_of_torch():
    torch.manual_seed(0)
    for size, stride, padding in ((3, 1, 1), (5, 1, 2), (3, 2, 1)):
        x = torch.randn(2, 4, 8, 8, dtype=torch.float64, requires_grad=True)
        kernel = torch.randn(4, 1, size, size, dtype=torch.float64, requires_grad=True)
        bias = torch.randn(4, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(
            lambda x, k, b, s=stride, p=padding: kernels.Depthwise.apply(x, k, b, s, p), (x, kernel, bias)
        )
        expected = torch.nn.functional.conv2d(x, kernel, bias, stride, padding, groups=4)
        assert torch.allclose(kernels.Depthwise.apply(x, kernel, bias, stride, padding), expected)


def test_the_eight_turned_views_are_all_different_and_the_first_is_the_image():
    rgb = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    views = [pictures.turned(rgb, number) for number in range(8)]
    assert (views[0] == rgb).all()
    assert len({view.tobytes() for view in views}) == 8


def test_a_crop_has_the_image_s_size_and_values_within_its_range():
    rng = np.random.default_rng(1)
    rgb = rng.integers(50, 200, pictures.SHAPE, dtype=np.uint8)
    for _ in range(4):
        view = pictures.cropped(rgb, rng)
        assert view.shape == pictures.SHAPE
        assert view.min() >= 50 and view.max() < 200


def test_smoothed_labels_stay_within_the_classes_of_the_image_s_own_source():
    wanted = vision.class_targets([sample(0, "ucm", "beach"), sample(1, "rsicd", None)])
    sources = np.array([source for source, _ in data.CLASS_KEYS])
    assert wanted[0].sum() == pytest.approx(1)
    assert (wanted[0, sources == "rsicd"] == 0).all()
    assert wanted[0].argmax() == data.CLASS_KEYS.index(("ucm", "beach"))
    assert (wanted[1] == 0).all()


def test_the_running_mean_starts_at_the_weights_and_swaps_with_them():
    parameter = torch.nn.Parameter(torch.ones(3))
    mean = vision.Mean({"p": parameter}, None)
    with torch.no_grad():
        parameter.fill_(3.0)
    mean.update(1)
    kept = mean.values["p"].clone()
    assert (kept > 1).all() and (kept < 3).all()
    mean.swap()
    assert torch.equal(parameter.detach(), kept) and (mean.values["p"] == 3).all()


def test_familiarity_is_fitted_to_what_the_exporter_s_tower_gives_it():
    pytest.importorskip("efficientnet_lite_pytorch")
    torch.manual_seed(4)
    net, values = tower.Tower(torch.float32).eval(), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        found = familiarity.pooled(net, values).numpy()
    weights = {name: tensor.numpy() for name, tensor in net.net.state_dict().items()}
    for row, image in zip(found, values.numpy(), strict=True):
        seen: dict[str, np.ndarray] = {}
        features = reference.tower(efficientnet.lite("lite2", 64, 64), weights, image, observe=seen.__setitem__)
        early = seen[f"b{tower.FIRST_TUNED_BLOCK - 1}"]
        expected = np.concatenate([features.mean(axis=(0, 1)), early.mean(axis=(1, 2))])
        np.testing.assert_allclose(row, expected, rtol=0, atol=TOWER_TOLERANCE)


def test_foreign_features_are_farther_and_the_curve_goes_through_its_points():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 3, 200)
    centres = rng.normal(size=(3, 40)) * 4
    known = centres[labels] + rng.normal(size=(200, 40))
    parts = familiarity.fit(known, labels)
    own = familiarity.distances(known, *parts)
    foreign = familiarity.distances(rng.normal(size=(50, 40)) * 12, *parts)
    assert foreign.min() > np.percentile(own, 99)
    a, b = familiarity.curve(own)
    for percentile, wanted in familiarity.CURVE:
        found = 1 / (1 + np.exp(b * np.percentile(own, percentile) - a))
        assert found == pytest.approx(wanted, abs=1e-6)


def test_concept_tokens_start_as_the_mixture_of_what_the_heads_find():
    torch.manual_seed(3)
    connector, heads = Connector(8, 16, 1.0), vision.Heads()
    start = Start(torch.randn(len(data.CLASS_KEYS), 16), torch.randn(vision.WORDS, 16))
    connector.begin(heads, start)
    features = torch.rand(2, 8, 8, 1280)
    with torch.no_grad():
        tokens = connector(features)
        classes, words = heads.eval()(features)
        expected = torch.stack((classes.softmax(-1) @ start.class_table, words.sigmoid() @ start.word_table), 1)
    assert tokens.shape == (2, GRID_TOKENS + CONCEPT_TOKENS, 16)
    assert torch.allclose(tokens[:, GRID_TOKENS:], expected + connector.concept_position, atol=1e-5)
    assert not any(p is q for p in connector.tuned() for q in connector.classes.parameters())
