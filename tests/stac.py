"""Validates STAC items against the core schemas, and the schemas of their extensions: no network.

    pip install "pystac[validation]"
    python tests/stac.py captions.stac.json ... --schemas DIRECTORY

The core schemas come with pystac; DIRECTORY holds more of them (`*.json`, in any folders, found by their `$id`), such
as those of the extensions. Checks that extensions are declared for the prefixes that are used, and that the assets are
there. An extension without a schema is named and not checked. Exit code 0 if nothing is wrong, 1 if something is.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from urllib.parse import unquote

from jsonschema import Draft7Validator, FormatChecker
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

# Prefixes of properties, and what their extension's schema is called. Those of the program itself need none.
EXTENSIONS = {"processing": "/processing/", "proj": "/projection/", "mlm": "/mlm/"}
OWN = "rsmoe"
ITEM_SCHEMA = "https://schemas.stacspec.org/v{version}/item-spec/json-schema/item.json"


def read_schemas(directories: list[Path]) -> dict[str, dict]:
    """All schemas by their identity; those of the directories go before pystac's own."""
    schemas = dict(get_local_schema_cache())
    for path in (path for directory in directories for path in sorted(directory.rglob("*.json"))):
        schema = json.loads(path.read_text())
        if isinstance(schema, dict) and isinstance(schema.get("$id"), str):
            schemas[schema["$id"].rstrip("#")] = schema
    return schemas


class Checker:
    """What there is to check items with."""

    def __init__(self, schemas: dict[str, dict]) -> None:
        self.schemas = schemas
        resources = {uri: Resource.from_contents(schema, DRAFT7) for uri, schema in schemas.items()}
        self.registry = Registry().with_resources(resources.items())

    def errors(self, uri: str, item: dict) -> list[str]:
        validator = Draft7Validator(self.schemas[uri], registry=self.registry, format_checker=FormatChecker())
        return [f"{'.'.join(map(str, error.path))}: {error.message}" for error in validator.iter_errors(item)]

    def problems(self, path: Path) -> tuple[list[str], list[str]]:
        """What is wrong with an item, and the extensions that could not be checked."""
        item = json.loads(path.read_text())
        core = ITEM_SCHEMA.format(version=item["stac_version"])
        if core not in self.schemas:
            return [f"stac_version {item['stac_version']}: there is no schema of it"], []
        found = self.errors(core, item)
        unchecked = []
        for extension in item["stac_extensions"]:
            if extension in self.schemas:
                found += self.errors(extension, item)
            else:
                unchecked.append(extension)
        prefixes = {name.split(":")[0] for name in item["properties"] if ":" in name} - {OWN}
        for prefix in sorted(prefixes):
            schema = EXTENSIONS.get(prefix, "?")
            if not any(schema in extension for extension in item["stac_extensions"]):
                found.append(f"{prefix}: its extension is not declared")
        for name, asset in item["assets"].items():
            if not (path.parent / unquote(asset["href"])).is_file():
                found.append(f"asset {name}: {asset['href']} is not there")
        return found, unchecked


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("items", type=Path, nargs="+", metavar="ITEM")
    parser.add_argument("--schemas", type=Path, action="append", default=[], metavar="DIRECTORY")
    args = parser.parse_args()
    checker = Checker(read_schemas(args.schemas))
    is_valid = True
    for path in args.items:
        found, unchecked = checker.problems(path)
        is_valid &= not found
        notes = [f"not checked, no schema: {extension}" for extension in unchecked]
        print(f"{path}: {'; '.join([*(found or ['valid']), *notes])}")
    return int(not is_valid)


if __name__ == "__main__":
    sys.exit(main())
