"""The plain sum, of which everything else is a change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor


@dataclass(frozen=True)
class Total:
    """The gradient of the sum of all terms."""

    reconciles: ClassVar[bool] = False

    def begin(self) -> Callable[[list[list[Tensor]]], list[Tensor]]:
        """The way of one training."""
        return total


def total(gradients: list[list[Tensor]]) -> list[Tensor]:
    """The sum over terms, parameter by parameter."""
    return [sum(parts[1:], parts[0]) for parts in zip(*gradients, strict=True)]
