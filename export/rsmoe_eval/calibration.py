"""Reliability of confidences, and the temperatures that make them honest.

The runtime's rule (`ConfidenceSpec` in its manifest): scored choices with log-probabilities s and familiarity f of the
image get

    p = softmax(s / T),   p' = f p + (1 - f) / K      for K choices,

and texts f exp(mean token log-probability / T2). A record holds these at the package's own temperatures; `read` undoes
them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

BINS = 10
SMALLEST = 2e-7  # a printed probability of 0 is taken as this


@dataclass(frozen=True)
class Scored:
    """One question with scored choices: their `log_scores` up to a constant, familiarity, place of the true one."""

    log_scores: list[float]
    familiarity: float
    true: int

    @classmethod
    def read(
        cls, choices: dict[str, float], familiarity: float | None, truth: str, temperature: float
    ) -> Scored | None:
        """From a record's choices, made with `temperature`; None if the truth is not among the choices."""
        names = list(choices)
        if truth not in names:
            return None
        trust = 1.0 if familiarity is None else familiarity
        rest = (1 - trust) / len(names)
        shares = [max((choices[name] - rest) / max(trust, SMALLEST), SMALLEST) for name in names]
        return cls([temperature * math.log(share) for share in shares], trust, names.index(truth))

    def probabilities(self, temperature: float) -> list[float]:
        """p' of every choice at another temperature."""
        top = max(self.log_scores)
        powers = [math.exp((score - top) / temperature) for score in self.log_scores]
        return [self.familiarity * power / sum(powers) + (1 - self.familiarity) / len(powers) for power in powers]

    def outcome(self, temperature: float) -> tuple[float, bool]:
        """(confidence of the best choice, whether it is the true one)."""
        shares = self.probabilities(temperature)
        best = max(range(len(shares)), key=shares.__getitem__)
        return shares[best], best == self.true


@dataclass(frozen=True)
class Written:
    """One text: log of exp(mean log-probability) at temperature 1, the familiarity, whether it is right."""

    log_mean: float
    familiarity: float
    right: bool

    @classmethod
    def read(cls, confidence: float, familiarity: float | None, right: bool, temperature: float) -> Written:
        """From a record's confidence, made with `temperature`."""
        trust = 1.0 if familiarity is None else familiarity
        share = min(max(confidence / max(trust, SMALLEST), SMALLEST), 1.0)
        return cls(temperature * math.log(share), trust, right)

    def outcome(self, temperature: float) -> tuple[float, bool]:
        """(confidence, whether it is right)."""
        return self.familiarity * math.exp(self.log_mean / temperature), self.right


def choice_loss(rows: list[Scored], temperature: float) -> float:
    """Mean negative log-likelihood of the true choices."""
    return -sum(math.log(max(row.probabilities(temperature)[row.true], SMALLEST)) for row in rows) / len(rows)


def text_loss(rows: list[Written], temperature: float) -> float:
    """Mean negative log-likelihood of right and wrong, the confidence being the probability of right."""
    total = 0.0
    for row in rows:
        confidence, right = row.outcome(temperature)
        total -= math.log(max(confidence if right else 1 - confidence, SMALLEST))
    return total / len(rows)


def best_temperature(loss: Callable[[float], float], low: float = 0.05, high: float = 20.0) -> float:
    """The temperature of least loss, by golden-section search in its logarithm, to 4 decimals."""
    golden = (math.sqrt(5) - 1) / 2
    left, right = math.log(low), math.log(high)
    for _ in range(60):
        one, other = right - golden * (right - left), left + golden * (right - left)
        if loss(math.exp(one)) < loss(math.exp(other)):
            right = other
        else:
            left = one
    return round(math.exp((left + right) / 2), 4)


Outcome = tuple[float, bool]


def where_it_helps(temperature: float, outcomes: Callable[[float], list[Outcome]]) -> float:
    """`temperature`, or 1 where the likeliest temperature does not lower the expected calibration error."""
    before, after = (calibration_error(equal_width(outcomes(value))) for value in (1.0, temperature))
    return temperature if after < before else 1.0


def _bin(part: list[Outcome]) -> dict:
    return {
        "count": len(part),
        "confidence": sum(confidence for confidence, _ in part) / len(part),
        "right": sum(right for _, right in part) / len(part),
    }


def equal_width(outcomes: list[Outcome], bins: int = BINS) -> list[dict]:
    """The bins [0, 1/n), .., [1 - 1/n, 1] that are not empty: their count, mean confidence and share of right."""
    parts: list[list[Outcome]] = [[] for _ in range(bins)]
    for confidence, right in outcomes:
        parts[min(int(confidence * bins), bins - 1)].append((confidence, right))
    return [_bin(part) for part in parts if part]


def equal_mass(outcomes: list[Outcome], bins: int = BINS) -> list[dict]:
    """`bins` parts of equal size (to one) in order of confidence."""
    ordered = sorted(outcomes)
    cuts = [i * len(ordered) // bins for i in range(bins + 1)]
    return [_bin(ordered[a:b]) for a, b in itertools.pairwise(cuts) if b > a]


def calibration_error(table: list[dict]) -> float:
    """Expected calibration error (Guo et al., ICML 2017): the mean gap of the bins, weighted by their counts."""
    total = sum(row["count"] for row in table)
    return sum(row["count"] * abs(row["confidence"] - row["right"]) for row in table) / total if total else 0.0


def reliability(outcomes: list[Outcome]) -> dict:
    """Both tables with their errors."""
    width, mass = equal_width(outcomes), equal_mass(outcomes)
    return {
        "answers": len(outcomes),
        "right": sum(right for _, right in outcomes) / max(len(outcomes), 1),
        "ECE": calibration_error(width),
        "ECE equal mass": calibration_error(mass),
        "bins": width,
        "bins equal mass": mass,
    }


def unsure_below(outcomes: list[Outcome], share: float = 0.05) -> float:
    """The largest threshold, rounded down to 2 decimals, below which at most `share` of the right answers lie."""
    right = sorted(confidence for confidence, is_right in outcomes if is_right)
    return math.floor(100 * right[int(share * len(right))]) / 100 if right else 0.0
