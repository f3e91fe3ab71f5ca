"""The training loop that all stages share: optimiser, clock, checkpoints, log. A stage brings batches and losses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from . import checkpoint
from .parallel import Team

LOG_STEPS = 10
MEMORY = 0.95  # of the running means in the log


@dataclass(frozen=True)
class Limit:
    """How long a stage lasts: wall-clock minutes over all its runs, or optimiser steps."""

    minutes: float | None = None
    steps: int | None = None


@dataclass(frozen=True)
class Group:
    """Parameters with their peak learning rate and weight decay."""

    parameters: Iterable[nn.Parameter]
    rate: float
    decay: float = 0.0


class Loop:
    """One process's view of a stage. Modules and optimiser are restored from the stage's file if it exists."""

    def __init__(
        self,
        team: Team,
        path: Path,
        modules: dict[str, nn.Module],
        groups: list[Group],
        limit: Limit,
        batch: int,
        warm: float = 0.03,
    ) -> None:
        """`batch` images a step over the whole team, for the log; `warm` is the share of the stage that warms up."""
        self._team, self._path, self._modules, self._batch, self._warm = team, path, modules, batch, warm
        self._limit = limit
        self._optimiser = torch.optim.AdamW(
            [{"params": list(g.parameters), "base": g.rate, "weight_decay": g.decay} for g in groups], betas=(0.9, 0.98)
        )
        self._parameters = [p for group in self._optimiser.param_groups for p in group["params"]]
        self.state = checkpoint.load(path) or {"step": 0, "used": 0.0}
        if self.state["step"]:
            for name, module in modules.items():
                module.load_state_dict(self.state[name])
            self._optimiser.load_state_dict(self.state["optimiser"])
        self.step: int = self.state["step"]
        self._budget = checkpoint.Budget(limit.minutes or float("inf"), self.state["used"])
        self._done = self._progress()
        self._first, self._started, self._means = self.step, time.monotonic(), {}
        self.say(f"{sum(p.numel() for p in self._parameters):,} parameters, from step {self.step}")

    def _progress(self, ahead: int = 0) -> float:
        """Share of the limit that is spent after `ahead` steps more."""
        return (self.step + ahead) / self._limit.steps if self._limit.steps else self._budget.progress

    @property
    def over(self) -> bool:
        """Whether the stage has reached its limit; the same in all processes."""
        return self._done >= 1

    def say(self, text: str) -> None:
        """Prints one line, once for the team."""
        if self._team.leads:
            print(text, flush=True)

    def update(self, loss: Tensor, weight: float, shown: dict[str, tuple[float, float]]) -> None:
        """One step on this process's sums of losses and weights; `shown` are (sum, count) pairs for the log."""
        self._optimiser.zero_grad()
        loss.backward()
        flat = [value for pair in shown.values() for value in pair]
        # the leading process's clock is everybody's
        lead = self._progress(1) if self._team.leads else 0.0
        total, self._done, *sums = self._team.reduce(self._parameters, [weight, lead, *flat])
        for parameter in self._parameters:
            parameter.grad /= total
        torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
        factor = checkpoint.cosine(self._done, self._warm)
        for group in self._optimiser.param_groups:
            group["lr"] = group["base"] * factor
        self._optimiser.step()
        self.step += 1
        for name, value, count in zip(shown, sums[::2], sums[1::2], strict=True):
            if count:
                mean = value / count
                self._means[name] = MEMORY * self._means.get(name, mean) + (1 - MEMORY) * mean
        if self.step % LOG_STEPS == 0:
            rate = (self.step - self._first) * self._batch / (time.monotonic() - self._started)
            means = " ".join(f"{name} {value:.4f}" for name, value in self._means.items())
            at = time.strftime("%H:%M:%S")
            self.say(f"{at} step {self.step} {means} {rate:.1f} images/s {100 * self._done:.0f} %")

    def save(self, extra: dict[str, object], then: Callable[[], None] | None = None, now: bool = False) -> None:
        """Writes the stage's file when it is due, or `now`; `then` runs after it. Only the leading process does."""
        if not (now or self._budget.checkpoint_due()) or not self._team.leads:
            return
        state: dict[str, object] = {name: module.state_dict() for name, module in self._modules.items()}
        state |= {
            "optimiser": self._optimiser.state_dict(),
            "step": self.step,
            "used": self._budget.used,
            "images": self.step * self._batch,
            **extra,
        }
        checkpoint.save(self._path, state)
        if then is not None:
            then()
