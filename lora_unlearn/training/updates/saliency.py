"""SalUn: only the weights that the concept hangs on most may move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...options import option
from .total import total


@dataclass(frozen=True)
class Saliency:
    """A mask m = 1 where |grad of the erasing term| is among the largest share, on the sum of all terms
    (arXiv 2310.12508).

    The mask is of the first update whose gradients reach every parameter that is trained: up starts at zero with random
    directions, so that theirs are zero before.
    """

    share: float = option(0.5, 0.01, 1, "how many of the adapter's weights may move")
    reconciles: ClassVar[bool] = False

    def begin(self) -> Callable[[list[list[Tensor]]], list[Tensor]]:
        """The way of one training; the mask lives as long as it does."""
        mask: list[Tensor] = []

        def masked(gradients: list[list[Tensor]]) -> list[Tensor]:
            if not mask and all(bool(part.any()) for part in gradients[0]):
                mask.extend(self.mask(gradients[0]))
            found = total(gradients)
            return [part * own for part, own in zip(found, mask, strict=True)] if mask else found

        return masked

    def mask(self, gradient: list[Tensor]) -> list[Tensor]:
        """Ones and zeros like each parameter; the largest share over all of them."""
        sizes = torch.cat([part.abs().flatten() for part in gradient])
        least = sizes.sort(descending=True).values[max(0, round(self.share * len(sizes)) - 1)]
        return [(part.abs() >= least).to(part) for part in gradient]
