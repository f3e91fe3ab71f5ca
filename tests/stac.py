"""Validates STAC items against the schemas that come with pystac: no network.

    pip install "pystac[validation]"
    python tests/stac.py captions.stac.json ...

Checks the core schemas of the item's STAC version, that extensions are declared for the prefixes that are used, and
that the asset is there. Exit code 0 if all items are valid, 1 if not.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from jsonschema import Draft7Validator, FormatChecker
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry, Resource

# Prefixes of properties, and what their extension's schema is called. Those of the program itself need none.
EXTENSIONS = {"processing": "/processing/", "proj": "/projection/"}
OWN = "rsmoe"
ITEM_SCHEMA = "https://schemas.stacspec.org/v{version}/item-spec/json-schema/item.json"


def problems(path: Path) -> list[str]:
    item = json.loads(path.read_text())
    found = []
    schemas = get_local_schema_cache()
    registry = Registry().with_resources((uri, Resource.from_contents(schema)) for uri, schema in schemas.items())
    schema = schemas.get(ITEM_SCHEMA.format(version=item["stac_version"]))
    if schema is None:
        return [f"stac_version {item['stac_version']}: pystac has no schema of it"]
    validator = Draft7Validator(schema, registry=registry, format_checker=FormatChecker())
    found += [f"{'.'.join(map(str, error.path))}: {error.message}" for error in validator.iter_errors(item)]
    prefixes = {name.split(":")[0] for name in item["properties"] if ":" in name} - {OWN}
    for prefix in sorted(prefixes):
        schema = EXTENSIONS.get(prefix, "?")
        if not any(schema in extension for extension in item["stac_extensions"]):
            found.append(f"{prefix}: its extension is not declared")
    for name, asset in item["assets"].items():
        if not (path.parent / asset["href"]).is_file():
            found.append(f"asset {name}: {asset['href']} is not there")
    return found


def main() -> int:
    is_valid = True
    for name in sys.argv[1:]:
        found = problems(Path(name))
        is_valid &= not found
        print(f"{name}: {'; '.join(found) or 'valid'}")
    return int(not is_valid)


if __name__ == "__main__":
    sys.exit(main())
