"""Sum: directions side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..lora import Lora, LoraLayer
from .dense import Parts, layerwise


@dataclass(frozen=True)
class Stack:
    """dW = sum_k s_k dW_k, exactly; ranks add up (task arithmetic, arXiv 2212.04089; LoRA's "cat" in PEFT).

    Attributes:
        rank: of the nearest sum with fewer directions; None: exact.
    """

    rank: int | None = None

    def __call__(self, parts: Parts) -> Lora:
        """Parts of any ranks and layers to one adapter of all layers.

        Raises:
            UnlearnError: if the rank is below 1, or the parts cancel each other at a chosen rank.
        """
        if self.rank is not None:
            return layerwise(parts, lambda changes: changes.sum(0), self.rank)
        owns = [(dict(lora.items()), strength) for lora, strength in parts]
        names = dict.fromkeys(name for lora, _ in parts for name in lora.names)
        return Lora({name: _side_by_side([(own[name], s) for own, s in owns if name in own]) for name in names})


def _side_by_side(layers: Sequence[tuple[LoraLayer, float]]) -> LoraLayer:
    """down (sum of ranks, in) and up (out, sum of ranks), scales and strengths multiplied into up."""
    down = torch.cat([layer.down.cpu() for layer, _ in layers])
    up = torch.cat([strength * layer.scale * layer.up.cpu() for layer, strength in layers], dim=1)
    return LoraLayer(down, up, 1.0)
