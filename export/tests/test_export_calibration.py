"""Statistics over a sample, and the rounding that makes use of them."""

import numpy as np
import pytest

from rsmoe_export.calibration.activations import PRODUCTS, Activations
from rsmoe_export.calibration.rounding import compensated_int4
from rsmoe_export.calibration.sample import Sample
from rsmoe_export.calibration.smoothing import READERS, smooth
from rsmoe_export.decoder.builder import DecoderOptions, build_decoder
from rsmoe_export.decoder.weights import LayerWeights
from rsmoe_export.quantize import int4_blocks
from rsmoe_export.reference.decoder import ReferenceDecoder
from rsmoe_export.reference.session import DecoderSession
from rsmoe_export.sources.derived import Derived
from rsmoe_export.tiny import adapter


def _sample(sequences: int = 12, length: int = 20) -> Sample:
    """Random words after an image, the second half of a sequence under an adapter."""
    random, tiny = np.random.RandomState(1), adapter.model()
    hidden = tiny.decoders["base"].config.hidden
    images = random.standard_normal((sequences, tiny.connector.image_tokens, hidden)).astype(np.float16)
    parts = []
    for row in range(sequences):
        ids = random.choice(tiny.output_ids, length)
        ids[1:4] = [-1, -2, -3]
        parts.append([(ids[:10], 0), (ids[10:], 1 + row % 4)])
    return Sample(images.astype(np.float32), parts)


def _cost(moments: np.ndarray, error: np.ndarray) -> float:
    """Mean squared error of a product's output for an error in its weight."""
    return float(np.einsum("oi,ij,oj->", error, moments, error))


class _Uneven(Derived):
    """Norms with two channels far larger than the others, as trained decoders have them."""

    def layer(self, index: int) -> LayerWeights:
        layer = self.base.layer(index)
        scale = np.ones(len(layer.input_norm), np.float32)
        scale[[3, 17]] = 8
        return LayerWeights(layer.input_norm * scale, layer.post_norm * scale, layer.projections, layer.biases)


@pytest.fixture(scope="module")
def inputs() -> np.ndarray:
    """Activations `[tokens, 96]` that live mostly in a few directions, as a decoder's do."""
    random = np.random.RandomState(2)
    return random.standard_normal((400, 12)) @ random.standard_normal((12, 96)) + 0.1 * random.standard_normal(
        (400, 96)
    )


def test_compensated_rounding_halves_the_error_of_plain_rounding_at_least(inputs):
    weight = np.random.RandomState(3).standard_normal((40, 96)).astype(np.float32)
    moments = inputs.T @ inputs / len(inputs)
    plain, compensated = int4_blocks(weight), compensated_int4(weight, moments)
    assert compensated.codes.max() <= 15
    assert compensated.codes.shape == plain.codes.shape
    costs = [_cost(moments, blocks.dequantize() - weight) for blocks in (plain, compensated)]
    assert costs[1] < costs[0] / 2


def test_inputs_that_have_nothing_to_do_with_each_other_are_rounded_plainly():
    weight = np.random.RandomState(4).standard_normal((9, 64)).astype(np.float32)
    plain, compensated = int4_blocks(weight), compensated_int4(weight, np.eye(64))
    np.testing.assert_array_equal(compensated.zero_point, plain.zero_point)
    np.testing.assert_allclose(compensated.scale, plain.scale, rtol=1e-6)
    np.testing.assert_array_equal(compensated.codes, plain.codes)


def test_an_output_is_rounded_the_same_alone_and_beside_others(inputs):
    weight = np.random.RandomState(5).standard_normal((7, 96)).astype(np.float32)
    moments = inputs.T @ inputs
    whole, part = compensated_int4(weight, moments), compensated_int4(weight[2:5], moments)
    np.testing.assert_array_equal(whole.codes[2:5], part.codes)
    np.testing.assert_array_equal(whole.scale[2:5], part.scale)


def test_inputs_that_are_always_zero_do_no_harm():
    weight = np.random.RandomState(6).standard_normal((3, 64)).astype(np.float32)
    moments = np.diag(np.r_[np.zeros(40), np.ones(24)])
    for held in (moments, np.zeros((64, 64))):
        error = np.abs(compensated_int4(weight, held).dequantize() - weight)
        assert error.max() < np.ptp(weight) / 15


def test_a_sample_survives_being_saved():
    sample = _sample()
    read = Sample.from_tensors(sample.tensors(), 32)
    np.testing.assert_array_equal(read.images, sample.images)
    for (_, found), (_, expected) in zip(read, sample, strict=True):
        assert [number for _, number in found] == [number for _, number in expected]
        for (ids, _), (wanted, _) in zip(found, expected, strict=True):
            np.testing.assert_array_equal(ids, wanted)


def test_sample_tensors_that_do_not_fit_are_named():
    tensors = _sample().tensors()
    with pytest.raises(ValueError, match="do not fit each other or hidden 64"):
        Sample.from_tensors(tensors, 64)
    with pytest.raises(ValueError, match="do not fit"):
        Sample.from_tensors(tensors | {"lengths": tensors["lengths"][1:]}, 32)
    del tensors["adapters"]
    with pytest.raises(ValueError, match="expected image_embeddings, ids, adapters, lengths"):
        Sample.from_tensors(tensors, 32)


def test_statistics_are_those_of_the_whole_run_whatever_the_order_of_layers():
    tiny, sample = adapter.model(), _sample(3)
    source = tiny.decoders["base"]
    seen: dict[tuple[str, int], list[np.ndarray]] = {}
    decoder = ReferenceDecoder(source, adapters=tiny.adapters)
    counts = dict.fromkeys(PRODUCTS, 0)

    def observe(name: str, x: np.ndarray) -> None:
        if name in PRODUCTS:
            seen.setdefault((name, counts[name] % source.config.layers), []).append(x)
            counts[name] += 1

    decoder.observer = observe
    for images, parts in sample:
        cache, past = decoder.empty_cache(20), 0
        for ids, number in parts:
            decoder.forward(decoder.embed(ids, images), past, cache, number)
            past += len(ids)
    activations = Activations(source, tiny.adapters, sample)
    for index in (0, 1, 1, 0):
        for name, found in activations.layer(index).items():
            x = np.concatenate(seen[name, index])
            np.testing.assert_allclose(found.moments, x.T @ x / len(x), rtol=0, atol=1e-12)
            np.testing.assert_array_equal(found.peaks, np.abs(x).max(axis=0))


def test_smoothing_changes_no_result_but_evens_out_the_inputs():
    tiny, sample = adapter.model(), _sample(6)
    source = tiny.decoders["base"]
    smoothed, adapters = smooth(source, tiny.adapters, Activations(source, tiny.adapters, sample))
    images, ((head, _), (tail, number)) = next(iter(sample))
    outputs = []
    for decoder in (ReferenceDecoder(source, adapters=tiny.adapters), ReferenceDecoder(smoothed, adapters=adapters)):
        cache = decoder.empty_cache(20)
        decoder.forward(decoder.embed(head, images), 0, cache)
        hidden = decoder.forward(decoder.embed(tail, images), len(head), cache, number)
        outputs.append(decoder.logits(hidden / (smoothed.head_divisors if decoder.source is smoothed else 1)))
    np.testing.assert_allclose(outputs[1], outputs[0], rtol=0, atol=1e-5)
    before = Activations(source, tiny.adapters, sample).layer(1)
    after = Activations(smoothed, adapters, sample).layer(1)
    for name in READERS:
        assert np.log(after[name].peaks).std() < 0.8 * np.log(before[name].peaks).std()
    np.testing.assert_allclose(after["o"].peaks, before["o"].peaks, rtol=1e-5)


@pytest.mark.parametrize(("variant", "share"), [("int4", 0.7), ("w8a8", 0.9), ("fp32", None)])
def test_a_calibrated_graph_is_nearer_to_the_unquantized_one(variant, share, tmp_path):
    tiny, sample = adapter.model(), _sample(40)
    source = _Uneven(tiny.decoders["base"])
    activations = Activations(source, tiny.adapters, sample)

    def logits(variant: str, held: Activations | None) -> np.ndarray:
        options = DecoderOptions(variant, tiny.adapters, tiny.output_ids, tiny.connector.image_tokens, held)
        build_decoder(tmp_path / "base.onnx", source, options)
        session, rows = DecoderSession(tmp_path / "base.onnx", 1, 24, threads=1), []
        for images, parts in sample:
            past = 0
            for ids, number in parts:
                out = session.run(ids[None], np.array([past]), adapters=np.array([number]), images=images[None])
                past += len(ids)
            rows.append(out["logits"][0])
        return np.stack(rows)

    exact = logits("fp32", None)
    plain, calibrated = (np.square(logits(variant, held) - exact).mean() for held in (None, activations))
    assert calibrated == 0 if share is None else calibrated < share * plain
