"""Bounds that hold whatever the distribution: how often a gate opens by mistake, and intervals for measured shares.

The threshold is conformal: the ceil((n + 1)(1 - a))-th smallest of n negative scores lets a new prompt like
them open the gate with probability at most a, whatever the scores' distribution. So a = 1 % needs n >= 99.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .errors import UnlearnError

FALSE_OPEN_RATE = 0.01
"""The default bound on false openings: one ordinary prompt in a hundred."""


def least(false_open_rate: float) -> int:
    """How many negatives a bound needs: ceil(1 / rate) - 1."""
    return math.ceil(1 / false_open_rate) - 1


def check_enough(negatives: int, false_open_rate: float) -> None:
    """Refuse a calibration with too few negatives for its bound.

    Raises:
        UnlearnError: saying how many are needed.
    """
    if negatives < least(false_open_rate):
        raise UnlearnError(
            f"A false-open rate of {false_open_rate:g} needs at least {least(false_open_rate)} negative prompts, got "
            f"{negatives}."
        )


def conformal_threshold(negatives: Tensor, false_open_rate: float) -> float:
    """The smallest threshold with the guarantee above, just over the quantile's score."""
    rank = math.ceil((len(negatives) + 1) * (1 - false_open_rate))
    quantile = negatives.double().sort().values[min(rank, len(negatives)) - 1]
    return float(torch.nextafter(quantile.float(), torch.tensor(float("inf"))))


def clopper_pearson(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact interval for a share (Clopper and Pearson 1934), by bisection on the binomial tails."""
    tail, counts = (1 - confidence) / 2, torch.arange(trials + 1, dtype=torch.float64)
    ways = math.lgamma(trials + 1) - torch.lgamma(counts + 1) - torch.lgamma(trials - counts + 1)

    def at_most(most: int, p: float) -> float:
        """The chance of so many hits at most."""
        if p <= 0 or p >= 1:
            return float(p <= 0 or most >= trials)
        return min(
            1.0, float((ways + counts * math.log(p) + (trials - counts) * math.log1p(-p))[: most + 1].exp().sum())
        )

    low = 0.0 if hits == 0 else _bisect(lambda p: 1 - at_most(hits - 1, p) < tail)
    high = 1.0 if hits == trials else _bisect(lambda p: at_most(hits, p) > tail)
    return low, high


def _bisect(below: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) else (low, middle)
    return (low + high) / 2
