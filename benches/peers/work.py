"""The fixed work of `benches/work.yaml`, and how a peer is made to do it."""

from __future__ import annotations

import statistics
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import yaml

WORK_FILE = Path(__file__).resolve().parent.parent / "work.yaml"
#: Tokens below are special ones in most vocabularies; those above 30,000 are missing from small ones.
TOKEN_RANGE = (300, 30_000)


@dataclass(frozen=True)
class Work:
    """Lengths in tokens; see `benches/work.yaml`."""

    prefix_tokens: int
    image_tokens: int
    router_tokens: int
    experts: int
    prompt_tokens: int
    expert_tokens: int
    scene_tiles: int

    @classmethod
    def read(cls) -> Work:
        """The committed work."""
        values = yaml.safe_load(WORK_FILE.read_text(encoding="utf-8"))
        return cls(**{field.name: int(values[field.name]) for field in fields(cls)})

    @property
    def written_tokens(self) -> int:
        """Tokens that are written for one tile."""
        return self.router_tokens + self.experts * self.expert_tokens

    @property
    def positions(self) -> int:
        """Positions of the longest sequence."""
        return self.prefix_tokens + max(self.router_tokens, self.prompt_tokens + self.expert_tokens)


class Peer(ABC):
    """A loaded language model that does the work for a batch of tiles; rows run together.

    The order of calls is `prefix`, `write`, `branch`, `write`.
    """

    #: Rows that the peer can run together; none: any number.
    most_rows: int | None = None
    #: What a reader has to know about how this peer does the work.
    notes: tuple[str, ...] = ()

    @abstractmethod
    def prefix(self, ids: np.ndarray, image_tokens: int) -> None:
        """Prefills `[tiles, prefix]` tokens in new rows; the first `image_tokens` are embeddings where the peer can."""

    @abstractmethod
    def write(self, count: int) -> None:
        """Writes `count` tokens greedily in every row; the first follows from the last prefill."""

    @abstractmethod
    def branch(self, ids: np.ndarray) -> None:
        """Continues every tile's prefix in `[tiles, experts, prompt]` prompts, one row each; what was written goes."""

    @abstractmethod
    def first_token(self) -> None:
        """Makes sure that the first token after the last prefill is known."""


class ArgMaxPeer(Peer):
    """A peer whose every run ends with the arg-max, so that what follows is known as soon as it was fed."""

    #: The tokens that follow, one for each row.
    _next: np.ndarray

    @abstractmethod
    def _put(self, ids: np.ndarray) -> None:
        """Feeds `[rows, tokens]` and sets `_next`."""

    def first_token(self) -> None:
        """The arg-max is taken with the prefill."""

    def write(self, count: int) -> None:
        """See `Peer`."""
        for _ in range(count - 1):
            self._put(self._next[:, None])


@dataclass(frozen=True)
class Timing:
    """Seconds of one batch."""

    first_token: float
    whole: float


def run_batch(peer: Peer, work: Work, tiles: int, generator: np.random.Generator) -> Timing:
    """Does the work for `tiles` tiles together."""
    prefix = generator.integers(*TOKEN_RANGE, (tiles, work.prefix_tokens))
    prompts = generator.integers(*TOKEN_RANGE, (tiles, work.experts, work.prompt_tokens))
    started = time.perf_counter()
    peer.prefix(prefix, work.image_tokens)
    peer.first_token()
    first_token = time.perf_counter() - started
    peer.write(work.router_tokens)
    peer.branch(prompts)
    peer.write(work.expert_tokens)
    return Timing(first_token, time.perf_counter() - started)


def batch_sizes(wanted: list[int], most_rows: int | None, experts: int) -> list[int]:
    """The wanted numbers of tiles, those that are too many for the peer brought down to what it can."""
    most = max(1, most_rows // experts) if most_rows else max(wanted)
    return sorted({min(tiles, most) for tiles in wanted})


def measure(load: Callable[[], Peer], work: Work, repeats: int, batches: list[int]) -> dict[str, object]:
    """Loads a peer and measures one image, and a scene in the batch size that is quickest."""
    generator = np.random.default_rng(1)
    started = time.perf_counter()
    peer = load()
    load_ms = (time.perf_counter() - started) * 1e3
    run_batch(peer, work, 1, generator)
    first_caption_ms = (time.perf_counter() - started) * 1e3
    ones = [run_batch(peer, work, 1, generator) for _ in range(repeats)]
    possible = batch_sizes(batches, peer.most_rows, work.experts)
    rates = {tiles: tiles / run_batch(peer, work, tiles, generator).whole for tiles in possible}
    best = max(rates, key=lambda tiles: rates[tiles])
    scenes = []
    for _ in range(repeats):
        parts = [min(best, work.scene_tiles - done) for done in range(0, work.scene_tiles, best)]
        scenes.append(sum(run_batch(peer, work, tiles, generator).whole for tiles in parts))
    one = statistics.median(timing.whole for timing in ones)
    return {
        "load_ms": load_ms,
        "first_caption_ms": first_caption_ms,
        "first_token_ms": statistics.median(timing.first_token for timing in ones) * 1e3,
        "one_ms": one * 1e3,
        "tokens_per_s": work.written_tokens / one,
        "tiles_per_s": work.scene_tiles / statistics.median(scenes),
        "tiles_per_batch": best,
        "notes": list(peer.notes),
    }
