"""Every graph of the tiny packages gives the golden outputs in ONNX Runtime."""

import numpy as np
import onnx
import pytest
from export_support import (
    INT8_TOWER_TOLERANCE,
    NAMES,
    PACKAGES,
    TOLERANCE,
    VISION_TOLERANCE,
    decoder_graphs,
    golden_io,
    manifest,
    run_graph,
)
from onnx import TensorProto

DTYPES = {TensorProto.FLOAT: "f32", TensorProto.INT64: "i64"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("graph", ["vision", "connector"])
def test_vision_and_connector_agree_with_the_reference(name, graph):
    inputs, expected = golden_io(name, f"{graph}.in.", f"{graph}.out.")
    found = run_graph(PACKAGES / name / f"{graph}.onnx", inputs)
    assert set(found) == set(expected)
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=0, atol=VISION_TOLERANCE)


def test_the_int8_tower_agrees_with_the_reference():
    inputs, expected = golden_io("tiny-adapter", "vision.in.", "vision.int8.out.")
    found = run_graph(PACKAGES / "tiny-adapter" / "vision.int8.onnx", inputs)
    assert set(found) == set(expected)
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=0, atol=INT8_TOWER_TOLERANCE)
        # Hardly any value may be a step away.
        assert np.abs(found[key] - value).mean() < VISION_TOLERANCE
    float_features = golden_io("tiny-adapter", "vision.in.", "vision.out.")[1]["features"]
    # The tolerance tells the two towers apart.
    assert np.abs(float_features - expected["features"]).max() > 2 * INT8_TOWER_TOLERANCE


@pytest.mark.parametrize(("name", "decoder", "variant"), decoder_graphs())
def test_dimensions_of_equal_names_are_equal(name, decoder, variant, tmp_path):
    # ONNX Runtime puts tensors of which it knows this into the same memory.
    model = onnx.load(PACKAGES / name / f"{decoder}.{variant}.onnx")
    known = list(model.graph.value_info)
    assert len(known) > 2 * manifest(name)["decoders"][decoder]["layers"]
    model.graph.output.extend(known)
    onnx.save(model, tmp_path / "known.onnx")
    inputs, _ = golden_io(name, f"{decoder}.in.", f"{decoder}.{variant}.out.")
    found = run_graph(tmp_path / "known.onnx", inputs)
    lengths: dict[str, int] = {}
    for info in [*model.graph.input, *known]:
        dims = info.type.tensor_type.shape.dim
        shape = (inputs | found)[info.name].shape
        assert len(shape) == len(dims), info.name
        for dim, length in zip(dims, shape, strict=True):
            assert lengths.setdefault(dim.dim_param or str(dim.dim_value), length) == length, (info.name, shape)


@pytest.mark.parametrize(("name", "decoder", "variant"), decoder_graphs())
def test_decoders_agree_with_the_reference(name, decoder, variant):
    inputs, expected = golden_io(name, f"{decoder}.in.", f"{decoder}.{variant}.out.")
    found = run_graph(PACKAGES / name / f"{decoder}.{variant}.onnx", inputs)
    assert set(found) == set(expected)
    for key, value in expected.items():
        if key == "next_ids":
            continue
        np.testing.assert_allclose(found[key], value, rtol=0, atol=TOLERANCE[variant], err_msg=key)
    logits = expected["logits"]
    best, second = np.sort(logits, axis=1)[:, :-3:-1].T
    clear = best - second > 2 * TOLERANCE[variant]
    assert clear.any()
    np.testing.assert_array_equal(found["next_ids"][clear], expected["next_ids"][clear])


def test_the_full_head_covers_the_vocabulary_and_agrees_with_the_shortlist():
    inputs, expected = golden_io("tiny-adapter", "base.full_head.in.", "base.full_head.out.")
    found = run_graph(PACKAGES / "tiny-adapter" / "base.full_head.onnx", inputs)["logits"]
    np.testing.assert_allclose(found, expected["logits"], rtol=0, atol=TOLERANCE["fp32"])
    ids = np.fromfile(PACKAGES / "tiny-adapter" / "output_ids.bin", "<i4")
    _, short = golden_io("tiny-adapter", "base.in.", "base.fp32.out.")
    np.testing.assert_allclose(found[:, ids], short["logits"], rtol=0, atol=TOLERANCE["fp32"])


@pytest.mark.parametrize("name", NAMES)
def test_the_manifest_signs_every_graph_as_it_is(name):
    for key, entry in manifest(name)["graphs"].items():
        model = onnx.load(PACKAGES / name / entry["file"], load_external_data=False)
        onnx.checker.check_model(str(PACKAGES / name / entry["file"]), full_check=False)
        for side, values in (("inputs", model.graph.input), ("outputs", model.graph.output)):
            signed = [(item["name"], item["dtype"], item["shape"]) for item in entry[side]]
            actual = [
                (
                    value.name,
                    DTYPES[value.type.tensor_type.elem_type],
                    [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim],
                )
                for value in values
            ]
            assert signed == actual, key
        data = {item.value for init in model.graph.initializer for item in init.external_data if item.key == "location"}
        assert data == set(entry.get("data", []))
