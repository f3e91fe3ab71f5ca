"""onnxruntime-genai; its rows cannot branch, so that experts read the prefix again in a batch of their own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime_genai as genai
from work import Peer, Work


class Genai(Peer):
    """A generator per batch."""

    #: More are refused: "batch_size must be in [1, 32]".
    most_rows = 32
    notes = (
        "32 ordinary tokens stand in for image tokens",
        "rows cannot branch from a prefix: experts prefill it again",
        genai.__version__,
    )

    def __init__(self, model: Path, threads: int, work: Work):
        config = genai.Config(str(model))
        options = {"session_options": {"intra_op_num_threads": threads}}
        config.overlay(json.dumps({"model": {"decoder": options}}))
        self._model = genai.Model(config)
        self._positions = work.positions
        self._prefix = np.zeros((0, 0), np.int32)
        self._generator: genai.Generator | None = None

    def prefix(self, ids: np.ndarray, image_tokens: int) -> None:
        """See `Peer`."""
        self._prefix = ids.astype(np.int32)
        self._begin(self._prefix)

    def first_token(self) -> None:
        """Generates it; `write` counts it as its first."""
        self._generator.generate_next_token()

    def write(self, count: int) -> None:
        """See `Peer`."""
        for _ in range(count - 1):
            self._generator.generate_next_token()

    def branch(self, ids: np.ndarray) -> None:
        """See `Peer`."""
        tiles, experts, prompt = ids.shape
        prompts = ids.reshape(tiles * experts, prompt).astype(np.int32)
        self._begin(np.concatenate([np.repeat(self._prefix, experts, axis=0), prompts], axis=1))
        self.first_token()

    def _begin(self, ids: np.ndarray) -> None:
        # An old generator's cache goes before the new one comes.
        self._generator = None
        parameters = genai.GeneratorParams(self._model)
        parameters.set_search_options(
            batch_size=ids.shape[0], max_length=self._positions, min_length=self._positions, do_sample=False
        )
        self._generator = genai.Generator(self._model, parameters)
        self._generator.append_tokens(ids)


def load(model: Path, threads: int, work: Work, most_tiles: int) -> Peer:
    """A directory of onnxruntime-genai's model builder."""
    return Genai(model, threads, work)
