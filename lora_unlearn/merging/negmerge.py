"""What all agree on."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..lora import Lora
from .dense import Parts, layerwise


@dataclass(frozen=True)
class NegMerge:
    """dW[i] = 1/n sum_k s_k dW_k[i] where all signs agree, else 0 (NegMerge, arXiv 2410.05583).

    Made for several trainings that forget one thing: what only some of them change is taken for a side effect. Where a
    part is 0, or lacks the layer, there is no agreement. The paper subtracts the result; an eraser's change is one
    already.

    Attributes:
        rank: of the result, see `lora_unlearn.merging.dense.low_rank`.
    """

    rank: int | None = None

    def __call__(self, parts: Parts) -> Lora:
        """Parts of any ranks and layers to one adapter.

        Raises:
            UnlearnError: if nothing is left, or the rank is below 1.
        """
        return layerwise(parts, agreed, self.rank)


def agreed(changes: Tensor) -> Tensor:
    """The rule of one layer: (parts, out, in) to (out, in)."""
    signs = changes.sign().sum(0).abs()
    return changes.mean(0) * (signs == len(changes))
