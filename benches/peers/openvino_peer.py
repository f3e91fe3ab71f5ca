"""OpenVINO's runtime on a stateful decoder; the prefix is taken out of its state and put back for the experts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
from work import ArgMaxPeer, Peer, Work


class OpenVino(ArgMaxPeer):
    """One infer request; state tensors have the rows in their first axis and positions in their third."""

    notes = (
        "32 ordinary tokens stand in for image tokens",
        "prefix kept by copying the state",
        openvino.__version__,
    )

    def __init__(self, model: Path, threads: int):
        core = openvino.Core()
        settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        self._compiled = core.compile_model(str(model / "openvino_model.xml"), "CPU", settings)
        self._inputs = {name for port in self._compiled.inputs for name in port.get_names()}
        self._request = self._compiled.create_infer_request()
        self._state: list[np.ndarray] = []
        self._length = 0
        self._next = np.zeros(0, np.int64)

    def prefix(self, ids: np.ndarray, image_tokens: int) -> None:
        """See `Peer`."""
        self._request.reset_state()
        self._length = 0
        self._put(ids)
        self._state = [np.array(state.state.data) for state in self._request.query_state()]

    def branch(self, ids: np.ndarray) -> None:
        """See `Peer`."""
        tiles, experts, prompt = ids.shape
        for state, kept in zip(self._request.query_state(), self._state, strict=True):
            state.state = openvino.Tensor(np.repeat(kept, experts, axis=0))
        self._length = self._state[0].shape[2]
        self._put(ids.reshape(tiles * experts, prompt))

    def _put(self, ids: np.ndarray) -> None:
        rows, count = ids.shape
        total = self._length + count
        feeds = {
            "input_ids": ids.astype(np.int64),
            "attention_mask": np.ones((rows, total), np.int64),
            "position_ids": np.tile(np.arange(self._length, total, dtype=np.int64), (rows, 1)),
            "beam_idx": np.arange(rows, dtype=np.int32),
        }
        self._request.infer({name: value for name, value in feeds.items() if name in self._inputs})
        self._next = self._request.get_tensor("logits").data[:, -1].argmax(-1)
        self._length = total


def load(model: Path, threads: int, work: Work, most_tiles: int) -> Peer:
    """A directory with `openvino_model.xml`."""
    return OpenVino(model, threads)
