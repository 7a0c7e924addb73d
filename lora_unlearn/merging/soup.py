"""Mean."""

from __future__ import annotations

from dataclasses import dataclass

from ..lora import Lora
from .dense import Parts, layerwise


@dataclass(frozen=True)
class Soup:
    """dW = 1/n sum_k s_k dW_k (model soups, arXiv 2203.05482; Diffusion Soup, arXiv 2406.08431).

    Made for several trainings of one thing: of n different things each keeps 1/n of its effect.

    Attributes:
        rank: of the result, see `lora_unlearn.merging.dense.low_rank`.
    """

    rank: int | None = None

    def __call__(self, parts: Parts) -> Lora:
        """Parts of any ranks and layers to one adapter.

        Raises:
            UnlearnError: if nothing is left, or the rank is below 1.
        """
        return layerwise(parts, lambda changes: changes.mean(0), self.rank)
