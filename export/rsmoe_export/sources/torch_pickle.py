"""Reads state dicts that torch saved in its legacy format (before 1.6), without torch and without running what they
say.

Format: five pickles (magic number, protocol version, system facts, the state dict with storages as persistent ids,
the storages' keys), then each storage as int64 element count and raw values. Source: torch/serialization.py,
`_legacy_save`.
"""

from __future__ import annotations

import collections
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_STORAGES = {"FloatStorage": np.float32, "HalfStorage": np.float16, "LongStorage": np.int64, "IntStorage": np.int32}


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: type
    count: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def _rebuild(storage: _Storage, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: object) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(stride))


class _Unpickler(pickle.Unpickler):
    """Knows ordered dicts, tensors and storages; anything else in the file is an error."""

    def find_class(self, module: str, name: str) -> object:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise ValueError(f"the pickle wants {module}.{name}, which a state dict has no need of")

    def persistent_load(self, pid: object) -> _Storage:
        kind, dtype, key, _location, count, view = pid
        if kind != "storage" or view is not None:
            raise ValueError(f"unknown persistent id {pid!r}")
        return _Storage(str(key), dtype, int(count))


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """Tensors by name.

    Raises:
        ValueError: the file is not a legacy torch file, or holds more than a flat state dict.
    """
    with path.open("rb") as stream:
        try:
            header = [_Unpickler(stream).load() for _ in range(2)]
        except pickle.UnpicklingError as error:
            raise ValueError(f"{path}: not a legacy torch file") from error
        if header != [_MAGIC, _PROTOCOL]:
            raise ValueError(f"{path}: not a legacy torch file")
        facts = _Unpickler(stream).load()
        if not facts.get("little_endian"):
            raise ValueError(f"{path}: written on a big-endian machine")
        tensors = _Unpickler(stream).load()
        keys = _Unpickler(stream).load()
        wanted = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
        values = {key: _read_storage(stream, wanted[key]) for key in keys}
    return {name: _view(values[tensor.storage.key], tensor) for name, tensor in tensors.items()}


def _read_storage(stream: BinaryIO, storage: _Storage) -> np.ndarray:
    count = int.from_bytes(stream.read(8), "little")
    dtype = np.dtype(storage.dtype).newbyteorder("<")
    raw = stream.read(count * dtype.itemsize)
    if count != storage.count or len(raw) != count * dtype.itemsize:
        raise ValueError(
            f"storage {storage.key}: {storage.count} values expected, {count} found or the file is cut off"
        )
    return np.frombuffer(raw, dtype)


def _view(values: np.ndarray, tensor: _Tensor) -> np.ndarray:
    size = values.itemsize
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride, strict=True))
    if min((*tensor.shape, 1)) < 1 or not 0 <= tensor.offset <= last < len(values):
        raise ValueError("a tensor reaches outside its storage")
    strides = [step * size for step in tensor.stride]
    return np.lib.stride_tricks.as_strided(values[tensor.offset :], tensor.shape, strides, writeable=False).copy()
