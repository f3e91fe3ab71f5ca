"""Packs one image's segments into a tree: every segment sees its ancestors and itself, never its siblings.

A node's positions continue from its parent's last position, so each branch looks to the model as if it stood
alone after the shared prefix.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .connector import IMAGE_TOKENS

BARE = -1  # no adapter
END = "<|im_end|>"


@dataclass(frozen=True)
class Node:
    """A segment: its parent's number (-1 for the root), token ids, adapter, and which tokens are learnt."""

    parent: int
    ids: list[int]
    adapter: int = BARE
    learnt_from: int | None = None  # index in `ids` of the first target token; None: nothing is learnt here
    weight: float = 1.0


@dataclass(frozen=True)
class Batch:
    """Padded trees. n images, t tokens; m learnt tokens over the whole batch."""

    ids: Tensor  # int64 [n, t]
    positions: Tensor  # int64 [n, t]
    visible: Tensor  # bool [n, t, t]
    adapter: Tensor  # int64 [n, t], BARE or the adapter's number
    rows: Tensor  # int64 [m], index into n * t of the hidden state that predicts
    targets: Tensor  # int64 [m], column of the shortlist
    weights: Tensor  # f32 [m]


class Segments:
    """Tokenizes the template's segments, each on its own."""

    def __init__(self, tokenizer) -> None:
        self._tokenizer = tokenizer
        self._cache: dict[str, list[int]] = {}
        self.end = tokenizer.token_to_id(END)
        self.start = tokenizer.token_to_id("<|im_start|>")
        self.pad = self.end

    def text(self, text: str) -> list[int]:
        """Ids of plain text."""
        if text not in self._cache:
            self._cache[text] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return self._cache[text]

    def detokenize(self, ids: list[int]) -> str:
        """Text of generated ids."""
        return self._tokenizer.decode(ids, skip_special_tokens=True)

    def header(self, role: str) -> list[int]:
        """`<|im_start|>{role}\\n`"""
        return [self.start, *self.text(f"{role}\n")]

    def prefix(self) -> list[int]:
        """The user header and the places of the image tokens."""
        return [*self.header("user"), *[self.pad] * IMAGE_TOKENS]

    def turn_end(self, text: str) -> list[int]:
        """`{text}<|im_end|>\\n`"""
        return [*self.text(text), self.end, *self.text("\n")]

    def answer(self, text: str) -> list[int]:
        """`{text}<|im_end|>`"""
        return [*self.text(text), self.end]

    @property
    def image_at(self) -> int:
        """Where the image tokens start in the prefix."""
        return len(self.header("user"))


def pack(trees: list[list[Node]], columns: np.ndarray, pad: int, multiple: int = 16) -> Batch:
    """Trees -> tensors. `columns` int64 [vocabulary] gives a token's column in the shortlist, -1 where it has none."""
    length = max(sum(len(node.ids) for node in tree) for tree in trees)
    length = -(-length // multiple) * multiple
    n = len(trees)
    ids = np.full((n, length), pad, np.int64)
    positions = np.zeros((n, length), np.int64)
    adapter = np.full((n, length), BARE, np.int64)
    visible = np.zeros((n, length, length), bool)
    rows: list[int] = []
    wanted: list[int] = []
    weights: list[float] = []
    lower = np.tril(np.ones((length, length), bool))
    for b, tree in enumerate(trees):
        number_of = np.full(length, len(tree), np.int64)
        ancestors = np.eye(len(tree) + 1, dtype=bool)  # the last one stands for padding
        last, last_position = {-1: -1}, {-1: -1}
        at = 0
        for number, node in enumerate(tree):
            stop = at + len(node.ids)
            ids[b, at:stop] = node.ids
            positions[b, at:stop] = np.arange(len(node.ids)) + last_position[node.parent] + 1
            adapter[b, at:stop] = node.adapter
            number_of[at:stop] = number
            if node.parent >= 0:
                ancestors[number] |= ancestors[node.parent]
            if node.learnt_from is not None:
                for offset in range(node.learnt_from, len(node.ids)):
                    before = at + offset - 1 if offset else last[node.parent]
                    rows.append(b * length + before)
                    wanted.append(int(columns[node.ids[offset]]))
                    weights.append(node.weight)
            last[number] = stop - 1
            last_position[number] = last_position[node.parent] + len(node.ids)
            at = stop
        visible[b] = ancestors[number_of][:, number_of] & lower
    assert min(wanted, default=0) >= 0, "a target token is missing from the shortlist"
    return Batch(
        torch.from_numpy(ids),
        torch.from_numpy(positions),
        torch.from_numpy(visible),
        torch.from_numpy(adapter),
        torch.tensor(rows, dtype=torch.int64),
        torch.tensor(wanted, dtype=torch.int64),
        torch.tensor(weights, dtype=torch.float32),
    )
