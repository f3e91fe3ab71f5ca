"""Checks a manifest against the JSON Schema that the Rust side generates from its types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import jsonschema

#: In a checkout of the repository; a copy of this package installed elsewhere has no schema and checks nothing.
SCHEMA = Path(__file__).parents[2] / "schemas" / "manifest.schema.json"


def validate(manifest: Mapping[str, object], schema: Path = SCHEMA) -> bool:
    """Whether there was a schema to check against.

    Raises:
        ValueError: the manifest breaks the schema; the message names every place.
    """
    if not schema.is_file():
        return False
    document = json.loads(schema.read_text(encoding="utf-8"))
    validator = jsonschema.validators.validator_for(document)(document)
    problems = [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(manifest)]
    if problems:
        raise ValueError("the manifest breaks the schema:\n" + "\n".join(problems))
    return True
