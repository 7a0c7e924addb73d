"""DoCo's concept-preserving gradient: the erasing gradient loses, parameter by parameter, what retaining objects to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ...options import option
from .total import total


@dataclass(frozen=True)
class Surgery:
    """For each parameter g_f - lambda min(0, <g_f, g_r>) / |g_r|^2 g_r (arXiv 2405.15304); the retaining gradient
    itself moves nothing.

    A projection as the paper has it; its code takes the cosine for the length.
    """

    strength: float = option(1.0, 0, 10, "lambda: how much of a conflict is taken out")
    reconciles: ClassVar[bool] = True

    def begin(self) -> Callable[[list[list[Tensor]]], list[Tensor]]:
        """The way of one training."""
        return self.operated

    def operated(self, gradients: list[list[Tensor]]) -> list[Tensor]:
        """The first term's gradient without its conflicts with the others' sum."""
        if len(gradients) < 2:
            return gradients[0]
        return [self._one(forget, retain) for forget, retain in zip(gradients[0], total(gradients[1:]), strict=True)]

    def _one(self, forget: Tensor, retain: Tensor) -> Tensor:
        along = (forget * retain).sum().clamp_max(0) / retain.square().sum().clamp_min(1e-30)
        return forget - self.strength * along * retain
