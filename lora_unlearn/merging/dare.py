"""Drop at random, rescale what stays, add."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..lora import Lora
from .dense import Parts, check_density, layerwise


@dataclass(frozen=True)
class Dare:
    """dW = sum_k m_k * s_k dW_k / density, m_k ~ Bernoulli(density) for each element (DARE, arXiv 2311.03099).

    The sum is right in expectation; what two parts do to one element collides more rarely.

    Attributes:
        density: share of the elements that stays, above 0, at most 1; the paper's 1 - p.
        seed: of the draws; they go through the layers in order.
        rank: of the result, see `lora_unlearn.merging.dense.low_rank`.
    """

    density: float = 0.5
    seed: int = 0
    rank: int | None = None

    def __post_init__(self) -> None:
        check_density(self.density)

    def __call__(self, parts: Parts) -> Lora:
        """Parts of any ranks and layers to one adapter.

        Raises:
            UnlearnError: if nothing is left, or the rank is below 1.
        """
        draws = torch.Generator().manual_seed(self.seed)
        return layerwise(parts, lambda changes: self.dropped(changes, draws).sum(0), self.rank)

    def dropped(self, changes: Tensor, draws: torch.Generator) -> Tensor:
        """Changes (parts, out, in) with most elements 0 and the others larger."""
        kept = torch.bernoulli(torch.full_like(changes, self.density), generator=draws)
        return changes * kept / self.density
