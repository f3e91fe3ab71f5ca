"""Runs a decoder graph in ONNX Runtime over an in-place cache, as the Rust runtime does. Needs onnxruntime."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import onnxruntime

CPU_FACTS = Path("/proc/cpuinfo")


def has_inexact_products() -> bool:
    """True if sums of two products may overflow in the processor's kernels for integers: x86-64 without VNNI."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    try:
        facts = CPU_FACTS.read_text(encoding="utf-8")
    except OSError:
        return True  # not Linux; to ask for exact products is never wrong, only slower
    return not {"avx512_vnni", "avx_vnni"} & set(facts.split())


def options(threads: int = 0) -> onnxruntime.SessionOptions:
    """Session options, exact integer products as in the Rust runtime; 0 threads leaves the choice to ONNX Runtime."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    if has_inexact_products():
        settings.add_session_config_entry("session.x64quantprecision", "1")
    return settings


class DecoderSession:
    """A decoder graph and the cache of its rows: every `run` binds past and present to the same memory."""

    def __init__(self, path: Path, rows: int, capacity: int, threads: int = 0) -> None:
        self.session = onnxruntime.InferenceSession(str(path), options(threads), providers=["CPUExecutionProvider"])
        self.names = [item.name for item in self.session.get_inputs()]
        self.shapes = {item.name: item.shape for item in self.session.get_inputs()}
        self.outputs = [item.name for item in self.session.get_outputs() if not item.name.startswith("present_")]
        self.caches: dict[str, onnxruntime.OrtValue] = {}
        for name in self.names:
            if name.startswith("past_") and name != "past_lengths":
                shape = self.shapes[name]
                self.set_cache(name, np.zeros((rows, shape[1], capacity, shape[3]), np.float32))

    def set_cache(self, name: str, values: np.ndarray) -> None:
        """Replaces the contents of one cache tensor, e.g. `past_key.0`."""
        self.caches[name] = onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(values))

    def cache(self, name: str) -> np.ndarray:
        """A copy of one cache tensor."""
        return self.caches[name].numpy().copy()

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Shape of one image's embeddings, for runs without images."""
        tokens, hidden = self.shapes["image_embeddings"][1:]
        return (1, tokens if isinstance(tokens, int) else 1, hidden)

    def run(
        self,
        ids: np.ndarray,
        past: np.ndarray,
        *,
        reads: np.ndarray | None = None,
        adapters: np.ndarray | None = None,
        images: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """One run over ids `[rows, new]`; outputs by name but the cache, which is updated in place.

        `reads` are indices into `rows * new`; without them each row's last token is read.
        """
        binding = self.bind(ids, past, reads=reads, adapters=adapters, images=images)
        self.session.run_with_iobinding(binding)
        return dict(zip(self.outputs, binding.copy_outputs_to_cpu(), strict=False))

    def bind(
        self,
        ids: np.ndarray,
        past: np.ndarray,
        *,
        reads: np.ndarray | None = None,
        adapters: np.ndarray | None = None,
        images: np.ndarray | None = None,
    ) -> onnxruntime.IOBinding:
        """The binding of one run."""
        rows, new = ids.shape
        binding = self.session.io_binding()
        binding.bind_cpu_input("input_ids", ids.astype(np.int64))
        binding.bind_cpu_input("past_lengths", np.asarray(past, np.int64))
        last = np.arange(1, rows + 1) * new - 1
        binding.bind_cpu_input("logits_indices", last if reads is None else np.asarray(reads, np.int64))
        shown = np.zeros(self.image_shape, np.float32) if images is None else images
        binding.bind_cpu_input("image_embeddings", np.ascontiguousarray(shown, np.float32))
        if "adapter_ids" in self.names:
            binding.bind_cpu_input(
                "adapter_ids", np.zeros(rows, np.int64) if adapters is None else np.asarray(adapters)
            )
        for name in self.outputs:
            binding.bind_output(name)
        for name, value in self.caches.items():
            binding.bind_ortvalue_input(name, value)
            binding.bind_ortvalue_output(name.replace("past_", "present_"), value)
        return binding
