"""A small builder for ONNX graphs: scoped names, shared constants, weights streamed to external data."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from rsmoe_export import IR_VERSION, OPSET, __version__

#: Domain of ONNX Runtime's own operators.
MICROSOFT = "com.microsoft"
#: Tensors of at least this many bytes go to the external data file, if the graph has one.
EXTERNAL_BYTES = 1024
#: Dtype names of the manifest and their ONNX element types.
DTYPES = {
    "f32": TensorProto.FLOAT,
    "f16": TensorProto.FLOAT16,
    "i64": TensorProto.INT64,
    "i32": TensorProto.INT32,
    "u8": TensorProto.UINT8,
    "i8": TensorProto.INT8,
    "bool": TensorProto.BOOL,
}

Shape = Sequence[int | str]


@dataclass(frozen=True)
class TensorInfo:
    """Name, dtype (a key of `DTYPES`) and shape of a graph's input or output; symbolic dimensions are strings."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def proto(self) -> onnx.ValueInfoProto:
        """The same as ONNX says it."""
        return helper.make_tensor_value_info(self.name, DTYPES[self.dtype], list(self.shape))


@dataclass
class GraphFiles:
    """What `Graph.save` wrote: file names relative to the package, and the signature."""

    file: str
    data: list[str]
    inputs: list[TensorInfo]
    outputs: list[TensorInfo]


@dataclass
class Graph:
    """One ONNX graph under construction.

    `path` is the .onnx file to be written. With `external`, weights are written to `<path>.data` as they arrive, so
    that memory holds one tensor at a time; without, they are kept in the .onnx file.
    """

    path: Path
    external: bool = False
    inputs: list[TensorInfo] = field(default_factory=list)
    outputs: list[TensorInfo] = field(default_factory=list)
    _nodes: list[onnx.NodeProto] = field(default_factory=list)
    _initializers: list[onnx.TensorProto] = field(default_factory=list)
    _known: list[TensorInfo] = field(default_factory=list)
    _constants: dict[tuple[str, tuple[int, ...], bytes], str] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set)
    _scope: str = ""
    _offset: int = 0

    def __post_init__(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._data = self.data_path.open("wb") if self.external else None

    @property
    def data_path(self) -> Path:
        """Where external weights go."""
        return self.path.with_name(self.path.name + ".data")

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Prefixes the names made inside with `name.`."""
        outer, self._scope = self._scope, f"{self._scope}{name}."
        yield
        self._scope = outer

    def input(self, name: str, dtype: str, shape: Shape) -> str:
        """Declares a graph input."""
        self.inputs.append(TensorInfo(name, dtype, tuple(shape)))
        self._names.add(name)
        return name

    def output(self, name: str, dtype: str, shape: Shape) -> str:
        """Declares a graph output; a node must produce a tensor of that name."""
        self.outputs.append(TensorInfo(name, dtype, tuple(shape)))
        return name

    def unique(self, stem: str) -> str:
        """A name in the current scope that nothing else has."""
        name, count = self._scope + stem, 1
        while name in self._names:
            name, count = f"{self._scope}{stem}{count}", count + 1
        self._names.add(name)
        return name

    def weight(self, stem: str, array: np.ndarray) -> str:
        """Adds an initializer and returns its name."""
        name = self.unique(stem)
        array = np.ascontiguousarray(array)
        tensor = TensorProto(name=name, dims=array.shape, data_type=helper.np_dtype_to_tensor_dtype(array.dtype))
        if self._data is None or array.nbytes < EXTERNAL_BYTES:
            tensor.raw_data = array.tobytes()
        else:
            # Page alignment lets ONNX Runtime map large tensors; small ones need no more than a cache line.
            align = 4096 if array.nbytes >= 1 << 20 else 64
            start = math.ceil(self._offset / align) * align
            self._data.write(b"\0" * (start - self._offset))
            self._data.write(memoryview(array).cast("B"))
            self._offset = start + array.nbytes
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (("location", self.data_path.name), ("offset", start), ("length", array.nbytes)):
                tensor.external_data.add(key=key, value=str(value))
        self._initializers.append(tensor)
        return name

    def const(self, value: np.ndarray | float | int | Sequence[int] | Sequence[float], dtype: str = "i64") -> str:
        """A small constant, shared by all its users: a number or list with the numpy meaning of `dtype`."""
        kinds = {"i64": np.int64, "f32": np.float32, "u8": np.uint8, "i8": np.int8, "i32": np.int32}
        array = np.asarray(value, dtype=kinds[dtype])
        key = (dtype, array.shape, array.tobytes())
        if key not in self._constants:
            name = f"c{len(self._constants)}"
            self._names.add(name)
            self._initializers.append(onnx.numpy_helper.from_array(array, name))
            self._constants[key] = name
        return self._constants[key]

    def node(
        self,
        op: str,
        inputs: Sequence[str],
        *,
        out: str | Sequence[str] | None = None,
        stem: str | None = None,
        domain: str = "",
        **attributes: object,
    ) -> str:
        """Adds a node with one used output and returns that output's name. `out` fixes the output name(s)."""
        name = self.unique(stem or op.lower())
        outputs = [name] if out is None else ([out] if isinstance(out, str) else list(out))
        self._nodes.append(helper.make_node(op, list(inputs), outputs, name=name, domain=domain, **attributes))
        return outputs[0]

    def split(self, value: str, sizes: Sequence[int], axis: int) -> list[str]:
        """Splits `value` along `axis` into parts of the given sizes."""
        outputs = [self.unique("part") for _ in sizes]
        self.node("Split", [value, self.const(list(sizes))], out=outputs, axis=axis)
        return outputs

    def reshape(
        self,
        value: str,
        shape: Sequence[int] | str,
        *,
        dims: Shape | None = None,
        dtype: str = "f32",
        **options: object,
    ) -> str:
        """Reshape to a constant shape, or to the shape that the tensor named `shape` holds.

        `dims` names the result's dimensions, which inference loses at a Reshape: equal names must mean equal lengths.
        ONNX Runtime reuses memory between tensors whose dimensions it knows to be equal, and when it loads a graph it
        compares every tensor with all those before that nothing matched: of a decoder's 0.8 s, 0.6 s went there.
        """
        target = shape if isinstance(shape, str) else self.const(list(shape))
        name = self.node("Reshape", [value, target], **options)
        if dims is not None:
            self._known.append(TensorInfo(name, dtype, tuple(dims)))
        return name

    def save(self) -> GraphFiles:
        """Checks the graph and writes the .onnx file; the same calls give the same bytes."""
        if self._data is not None:
            self._data.close()
        graph = helper.make_graph(
            self._nodes,
            self.path.stem,
            [info.proto() for info in self.inputs],
            [info.proto() for info in self.outputs],
            self._initializers,
            value_info=[info.proto() for info in self._known],
        )
        domains = {"": OPSET} | ({MICROSOFT: 1} if any(node.domain == MICROSOFT for node in self._nodes) else {})
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid(domain, version) for domain, version in domains.items()],
            producer_name="rsmoe_export",
            producer_version=__version__,
            ir_version=IR_VERSION,
        )
        self.path.write_bytes(model.SerializeToString(deterministic=True))
        return GraphFiles(
            file=self.path.name,
            data=[self.data_path.name] if self.external else [],
            inputs=self.inputs,
            outputs=self.outputs,
        )
