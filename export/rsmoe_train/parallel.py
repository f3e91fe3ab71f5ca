"""Data parallelism over single-threaded processes, one per core.

Two threads inside one process meet at a barrier in each of some ten thousand small operations of a step; when other
work runs on the machine each meeting waits for the scheduler. Processes meet once a step.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed, nn

# glibc's allocator gives freed blocks of some megabytes back at once, and the next step pays for fresh pages.
ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(8 << 30),
    "MALLOC_TOP_PAD_": str(256 << 20),
}


@dataclass(frozen=True)
class Team:
    """A process's place among `size` equal ones."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process logs and saves."""
        return self.rank == 0

    def share(self, items: Sequence[Any]) -> list[Any]:
        """The process's own part of a batch (every `size`-th item, so that lengths stay balanced)."""
        return list(items[self.rank :: self.size])

    def reduce(self, parameters: list[nn.Parameter], extras: list[float]) -> list[float]:
        """Sums gradients (in place) and `extras` over the team."""
        flat = torch.cat([*[p.grad.flatten() for p in parameters], torch.tensor(extras)])
        if self.size > 1:
            distributed.all_reduce(flat)
        at = 0
        for parameter in parameters:
            parameter.grad.copy_(flat[at : at + parameter.numel()].view_as(parameter))
            at += parameter.numel()
        return flat[at:].tolist()


def _member(rank: int, size: int, meeting: str, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=size, timeout=timedelta(minutes=10)
    )
    work(Team(rank, size), *arguments)
    distributed.destroy_process_group()


def launch(work: Callable[..., None], arguments: tuple[Any, ...], size: int | None = None) -> None:
    """Runs `work(team, *arguments)` in `size` processes (default: the cores of the machine, two at most)."""
    size = size or min(2, os.cpu_count() or 1)
    os.environ.update(ALLOCATOR)
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        members = [
            context.Process(target=_member, args=(rank, size, f"{folder}/meeting", work, arguments))
            for rank in range(size)
        ]
        for member in members:
            member.start()
        for member in members:
            member.join()
    if any(member.exitcode for member in members):
        raise SystemExit(1)
