"""Trim, elect a sign, average those who share it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..lora import Lora
from .dense import Parts, check_density, layerwise


@dataclass(frozen=True)
class Ties:
    """dW[i] = mean of those t_k[i] with the sign of sum_k t_k[i] (TIES, arXiv 2306.01708; with lambda = 1).

    t_k is s_k dW_k with all but its largest magnitudes set to 0, in each layer by itself; what is 0 has no sign and
    does not count in the mean. Strengths count in the election.

    Attributes:
        density: share of each part's elements that is kept, above 0, at most 1.
        rank: of the result, see `lora_unlearn.merging.dense.low_rank`.
    """

    density: float = 0.5
    rank: int | None = None

    def __post_init__(self) -> None:
        check_density(self.density)

    def __call__(self, parts: Parts) -> Lora:
        """Parts of any ranks and layers to one adapter.

        Raises:
            UnlearnError: if nothing is left, or the rank is below 1.
        """
        return layerwise(parts, self.elected, self.rank)

    def elected(self, changes: Tensor) -> Tensor:
        """The rule of one layer: (parts, out, in) to (out, in)."""
        trimmed = torch.stack([_trimmed(change, self.density) for change in changes])
        agree = trimmed.sign() == torch.where(trimmed.sum(0) >= 0, 1, -1)
        return (trimmed * agree).sum(0) / agree.sum(0).clamp(min=1)


def _trimmed(change: Tensor, density: float) -> Tensor:
    """The largest magnitudes of a tensor, all else 0."""
    flat = change.flatten()
    largest = flat.abs().topk(int(density * len(flat))).indices
    return torch.zeros_like(flat).index_copy(0, largest, flat[largest]).view_as(change)
