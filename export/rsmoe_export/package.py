"""Writes a model package: graphs, files, and the manifest with sizes and hashes. Nothing in it depends on time or
machine.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from rsmoe_export.graph import GraphFiles, TensorInfo
from rsmoe_export.schema import validate

#: Version of the manifest's schema.
SCHEMA_VERSION = 1
MANIFEST = "manifest.yaml"


@dataclass
class Package:
    """A package directory under construction."""

    root: Path
    graphs: dict[str, GraphFiles] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """A path inside the package."""
        return self.root / name

    def add_graph(self, key: str, graph: GraphFiles) -> None:
        """Registers a graph and its files under `key`."""
        self.graphs[key] = graph
        self.files += [graph.file, *graph.data]

    def add_file(self, name: str, content: bytes | None = None) -> None:
        """Registers a file, writing `content` first if given."""
        if content is not None:
            self.path(name).parent.mkdir(parents=True, exist_ok=True)
            self.path(name).write_bytes(content)
        self.files.append(name)

    def write_manifest(self, facts: dict[str, object]) -> dict[str, object]:
        """Writes manifest.yaml: the given facts, then `graphs` and `files`. Returns the whole manifest.

        Raises:
            ValueError: it breaks the schema.
        """
        manifest = {"schema_version": SCHEMA_VERSION} | facts
        manifest["graphs"] = {key: _graph_entry(graph) for key, graph in self.graphs.items()}
        manifest["files"] = {name: self._file_entry(name) for name in sorted(set(self.files))}
        validate(manifest)
        text = yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
        partial = self.path(MANIFEST + ".partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(self.path(MANIFEST))
        return manifest

    def _file_entry(self, name: str) -> dict[str, object]:
        path = self.path(name)
        return {"size": path.stat().st_size, "sha256": sha256_of(path)}


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _graph_entry(graph: GraphFiles) -> dict[str, object]:
    entry: dict[str, object] = {"file": graph.file}
    if graph.data:
        entry["data"] = graph.data
    entry["inputs"] = [_tensor_entry(info) for info in graph.inputs]
    entry["outputs"] = [_tensor_entry(info) for info in graph.outputs]
    return entry


def _tensor_entry(info: TensorInfo) -> dict[str, object]:
    return {"name": info.name, "dtype": info.dtype, "shape": list(info.shape)}


class _Dumper(yaml.SafeDumper):
    """Plain block style; small leaf mappings and lists of scalars on one line; no aliases."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def represent_str(self, data: str) -> yaml.Node:
        style = '"' if any(character in data for character in "\n<>|{}[]:#") else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)

    def represent_sequence(self, tag: str, sequence: object, flow_style: bool | None = None) -> yaml.Node:
        leaf = all(not isinstance(item, dict | list) for item in sequence)
        return super().represent_sequence(tag, sequence, flow_style=leaf)

    def represent_mapping(self, tag: str, mapping: object, flow_style: bool | None = None) -> yaml.Node:
        values = list(mapping.values()) if isinstance(mapping, dict) else []
        leaf = len(values) <= 4 and all(_is_leaf(value) for value in values) and bool(values)
        return super().represent_mapping(tag, mapping, flow_style=leaf)


_Dumper.add_representer(str, _Dumper.represent_str)


def _is_leaf(value: object) -> bool:
    if isinstance(value, list):
        return all(not isinstance(item, dict | list) for item in value)
    return not isinstance(value, dict)
