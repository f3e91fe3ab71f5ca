"""The stored tiny packages are what `tiny` builds today, and are fit for tests."""

import numpy as np
import pytest
from export_support import NAMES, PACKAGES, manifest, run_texts

from rsmoe_export.package import sha256_of
from rsmoe_export.tiny.build import build_all

#: A greedy choice must be clearer than what the variant's arithmetic may move logits by.
MARGIN = {"fp32": 0.08, "w8a8": 0.08, "int4": 0.3}


def test_a_fresh_build_equals_the_stored_packages_byte_for_byte(tmp_path):
    build_all(tmp_path)
    for name in NAMES:
        built = {path.relative_to(tmp_path): path for path in (tmp_path / name).rglob("*") if path.is_file()}
        stored = {path.relative_to(PACKAGES) for path in (PACKAGES / name).rglob("*") if path.is_file()}
        assert set(built) == stored
        different = [str(path) for path in built if built[path].read_bytes() != (PACKAGES / path).read_bytes()]
        assert different == []


@pytest.mark.parametrize("name", NAMES)
def test_packages_are_below_one_megabyte_and_hashes_hold(name):
    root = PACKAGES / name
    assert sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) < 1_000_000
    for file, entry in manifest(name)["files"].items():
        assert entry == {"size": (root / file).stat().st_size, "sha256": sha256_of(root / file)}
    listed = {*manifest(name)["files"], "manifest.yaml"}
    assert {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} == listed


@pytest.mark.parametrize("name", NAMES)
def test_golden_runs_are_not_decided_by_near_ties_and_differ_between_branches(name):
    for variant, run in run_texts(name)["variants"].items():
        assert all(item["margin"] > MARGIN[variant] for item in run["generated"].values())
        texts = [item["text"] for key, item in run["generated"].items() if key != "answer"]
        assert len(set(texts)) == len(texts)
        assert {item["finish"] for item in run["generated"].values()} == {"stop", "length"}


def test_the_shortlist_is_ascending_and_holds_the_stop_tokens():
    ids = np.fromfile(PACKAGES / "tiny-adapter" / "output_ids.bin", "<i4")
    assert (np.diff(ids) > 0).all()
    assert {0, 2} <= set(ids.tolist())
    assert len(ids) < manifest("tiny-adapter")["decoders"]["base"]["vocabulary"]
