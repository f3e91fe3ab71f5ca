"""Writes rsmoe model packages: ONNX graphs, a manifest with hashes, and golden vectors. Needs no torch."""

__version__ = "0.1.0"

#: ONNX operator set of every graph written here: the lowest that has what is used, so that more runtimes load it.
OPSET = 21
#: ONNX file format version that belongs to the operator set.
IR_VERSION = 10
