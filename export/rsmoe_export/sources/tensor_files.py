"""Reads safetensors files, sharded ones too, tensor by tensor and without loading what is not asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

#: Upper bound of a header, as the format's reference implementation has it.
_MAX_HEADER_BYTES = 100_000_000
_DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "I64": np.int64, "I32": np.int32, "U8": np.uint8}


class TensorFile(Mapping[str, np.ndarray]):
    """One .safetensors file, mapped into memory. Floats come out as float32 (bfloat16 and float16 are widened
    exactly).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(_MAX_HEADER_BYTES, path.stat().st_size - 8):
                raise ValueError(f"{path}: not a safetensors file")
            self._entries: dict[str, dict[str, object]] = json.loads(stream.read(length))
        self._entries.pop("__metadata__", None)
        self._data = np.memmap(path, np.uint8, "r", offset=8 + length) if path.stat().st_size > 8 + length else None

    def __getitem__(self, name: str) -> np.ndarray:
        entry = self._entries[name]
        start, end = entry["data_offsets"]
        raw = self._data[start:end] if end > start else np.zeros(0, np.uint8)
        kind = str(entry["dtype"])
        if kind == "BF16":
            values = (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)
        elif kind in _DTYPES:
            values = raw.view(np.dtype(_DTYPES[kind]).newbyteorder("<"))
        else:
            raise ValueError(f"{self.path}: tensor {name!r} has dtype {kind}, which is not supported")
        if np.issubdtype(values.dtype, np.floating):
            values = values.astype(np.float32)
        return np.asarray(values).reshape(entry["shape"])

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class ShardedTensors(Mapping[str, np.ndarray]):
    """All tensors of a checkpoint directory: model.safetensors, or the shards that model.safetensors.index.json
    names.
    """

    def __init__(self, directory: Path) -> None:
        index = directory / "model.safetensors.index.json"
        if index.exists():
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        else:
            names = ["model.safetensors"]
        if any(Path(name).name != name for name in names):
            raise ValueError(f"{index}: a shard lies outside the directory")
        files = [TensorFile(directory / name) for name in names]
        self._files = {tensor: file for file in files for tensor in file}

    def __getitem__(self, name: str) -> np.ndarray:
        return self._files[name][name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)
