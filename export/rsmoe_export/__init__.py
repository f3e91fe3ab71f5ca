"""Writes rsmoe model packages: ONNX graphs, a manifest with hashes, and golden vectors. Needs no torch."""

__version__ = "0.1.0"

#: ONNX operator set of every graph written here. TensorScatter, the in-place cache write, came with 24.
OPSET = 24
#: ONNX file format version that belongs to operator set 24.
IR_VERSION = 11
