"""Builds both tiny packages."""

from __future__ import annotations

import shutil
from pathlib import Path

from rsmoe_export.golden import GoldenWriter
from rsmoe_export.tiny import adapter, common, expert_graphs

#: Package directory names and their builders.
PACKAGES = {"tiny-adapter": adapter.build, "tiny-graph": expert_graphs.build}


def build_all(root: Path) -> list[Path]:
    """Writes every tiny package under `root`, in place of what is there, and returns their directories."""
    written = []
    for name, build in PACKAGES.items():
        shutil.rmtree(root / name, ignore_errors=True)
        package, facts, tiny = build(root / name)
        GoldenWriter(package, facts, tiny, common.VARIANTS).write()
        package.write_manifest(facts)
        written.append(package.root)
    return written
