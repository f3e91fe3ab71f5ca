"""llama.cpp through the low-level interface of llama-cpp-python; prefixes are shared by its sequences."""

from __future__ import annotations

import ctypes
from pathlib import Path

import llama_cpp
import numpy as np
from work import ArgMaxPeer, Peer, Work

#: Most tokens of one call.
BATCH_TOKENS = 2048


@llama_cpp.llama_log_callback
def _silent(level: int, text: bytes, data: ctypes.c_void_p) -> None:
    """llama.cpp talks a lot while it loads."""


class LlamaCpp(ArgMaxPeer):
    """One context; tile `t` is sequence `t`, its experts are sequences behind all tiles."""

    def __init__(self, model: Path, threads: int, work: Work, most_tiles: int):
        llama_cpp.llama_log_set(_silent, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        parameters = llama_cpp.llama_model_default_params()
        self._model = llama_cpp.llama_model_load_from_file(str(model).encode(), parameters)
        if not self._model:
            raise RuntimeError(f"llama.cpp cannot load {model}")
        rows = most_tiles * (1 + work.experts)
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = rows * work.positions
        settings.n_batch = settings.n_ubatch = BATCH_TOKENS
        settings.n_seq_max = rows
        settings.n_threads = settings.n_threads_batch = threads
        if hasattr(settings, "kv_unified"):
            settings.kv_unified = True
        self._context = llama_cpp.llama_init_from_model(self._model, settings)
        if not self._context:
            raise RuntimeError(f"llama.cpp makes no context of {rows} sequences")
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))
        self._hidden = llama_cpp.llama_model_n_embd(self._model)
        self._batch = llama_cpp.llama_batch_init(BATCH_TOKENS, 0, 1)
        self._images = llama_cpp.llama_batch_init(BATCH_TOKENS, self._hidden, 1)
        self._embeddings = np.random.default_rng(2).standard_normal((BATCH_TOKENS, self._hidden)).astype(np.float32)
        self._tiles = 0
        self._prefix = 0
        self._rows: list[int] = []
        self._length = 0
        self._next = np.zeros(0, np.int64)
        self.notes = ("image tokens as embeddings", "prefix shared by its sequences", llama_cpp.__version__)

    def prefix(self, ids: np.ndarray, image_tokens: int) -> None:
        """See `Peer`."""
        llama_cpp.llama_memory_clear(self._memory, True)
        self._tiles, self._prefix = ids.shape
        self._rows = list(range(self._tiles))
        self._length = 0
        self._put_images(image_tokens)
        self._put(ids[:, image_tokens:])

    def branch(self, ids: np.ndarray) -> None:
        """See `Peer`."""
        tiles, experts, prompt = ids.shape
        for tile in range(tiles):
            llama_cpp.llama_memory_seq_rm(self._memory, tile, self._prefix, -1)
            for expert in range(experts):
                row = self._tiles + tile * experts + expert
                llama_cpp.llama_memory_seq_cp(self._memory, tile, row, 0, self._prefix)
        self._rows = [self._tiles + index for index in range(tiles * experts)]
        self._length = self._prefix
        self._put(ids.reshape(tiles * experts, prompt))

    def _put_images(self, count: int) -> None:
        """Embeddings at the beginning of every row."""
        for start in range(0, len(self._rows), BATCH_TOKENS // count):
            rows = self._rows[start : start + BATCH_TOKENS // count]
            batch = self._images
            batch.n_tokens = len(rows) * count
            ctypes.memmove(batch.embd, self._embeddings.ctypes.data, batch.n_tokens * self._hidden * 4)
            for index in range(batch.n_tokens):
                _place(batch, index, rows[index // count], index % count, False)
            self._decode(batch)
        self._length += count

    def _put(self, ids: np.ndarray) -> None:
        """Appends `[rows, count]` tokens to the rows and takes each row's next token."""
        count = ids.shape[1]
        together = max(1, BATCH_TOKENS // count)
        following = []
        for start in range(0, len(self._rows), together):
            rows = self._rows[start : start + together]
            batch = self._batch
            batch.n_tokens = len(rows) * count
            for index in range(batch.n_tokens):
                row, position = divmod(index, count)
                batch.token[index] = int(ids[start + row, position])
                _place(batch, index, rows[row], self._length + position, position == count - 1)
            self._decode(batch)
            following += [self._best(row * count + count - 1) for row in range(len(rows))]
        self._length += count
        self._next = np.array(following)

    def _decode(self, batch: llama_cpp.llama_batch) -> None:
        code = llama_cpp.llama_decode(self._context, batch)
        if code != 0:
            raise RuntimeError(f"llama_decode gives {code}")

    def _best(self, index: int) -> int:
        logits = llama_cpp.llama_get_logits_ith(self._context, index)
        return int(np.ctypeslib.as_array(logits, shape=(self._vocabulary,)).argmax())


def _place(batch: llama_cpp.llama_batch, index: int, row: int, position: int, is_read: bool) -> None:
    batch.pos[index] = position
    batch.n_seq_id[index] = 1
    batch.seq_id[index][0] = row
    batch.logits[index] = int(is_read)


def load(model: Path, threads: int, work: Work, most_tiles: int) -> Peer:
    """A GGUF file."""
    return LlamaCpp(model, threads, work, most_tiles)
