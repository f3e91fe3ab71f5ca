"""Manifests satisfy the schema of the Rust side, and the schema refuses what it should."""

import copy

import pytest
from export_support import NAMES, manifest

from rsmoe_export.schema import SCHEMA, validate

needs_schema = pytest.mark.skipif(not SCHEMA.is_file(), reason="schemas/manifest.schema.json is not there")


@needs_schema
@pytest.mark.parametrize("name", NAMES)
def test_stored_manifests_satisfy_the_schema(name):
    assert validate(manifest(name))


@needs_schema
@pytest.mark.parametrize("name", NAMES)
def test_unknown_and_missing_keys_are_refused(name):
    extra = copy.deepcopy(manifest(name))
    extra["connector"]["surprise"] = 1
    with pytest.raises(ValueError, match=r"connector"):
        validate(extra)
    fewer = copy.deepcopy(manifest(name))
    del fewer["language"]["stop_tokens"]
    with pytest.raises(ValueError, match=r"language.*stop_tokens"):
        validate(fewer)


def test_without_a_schema_nothing_is_checked(tmp_path):
    assert validate({}, tmp_path / "none.json") is False


def test_everything_that_is_named_exists():
    for name in NAMES:
        facts = manifest(name)
        for decoder in facts["decoders"].values():
            keys = [entry["graph"] for entry in decoder["variants"].values()]
            keys += [decoder["full_head"]["graph"]] if decoder["full_head"] else []
            assert set(keys) <= set(facts["graphs"])
        for role in [*facts["experts"]["list"], facts["router"], facts["captioner"]]:
            adapters = facts["decoders"][role["decoder"]]["adapters"]
            assert role.get("adapter") is None or role["adapter"] in adapters
        files = {file for graph in facts["graphs"].values() for file in [graph["file"], *graph.get("data", [])]}
        assert files <= set(facts["files"])
