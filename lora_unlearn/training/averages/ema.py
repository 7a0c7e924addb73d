"""The exponential moving average of the adapter, and the same on a spring that also pulls the adapter back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...lora import Lora
from ...options import option
from ..scene import Scene


@dataclass(frozen=True)
class Ema:
    """a <- decay a + (1 - decay) w after every update; a is what is kept."""

    decay: float = option(0.9, 0, 0.9999, "how much of the average stays at each update")

    def begin(self, scene: Scene, lora: Lora) -> Spring:
        """The average of one training."""
        return Spring(lora, self.decay, 0.0)


@dataclass(frozen=True)
class Belay:
    """The same, and w <- w + pull (a - w): average and weights as two ends of a spring (BELAY, arXiv 2310.13854)."""

    decay: float = option(0.9, 0, 0.9999, "how much of the average stays at each update")
    pull: float = option(0.05, 0, 1, "how far the weights are pulled back towards the average")

    def begin(self, scene: Scene, lora: Lora) -> Spring:
        """The average of one training."""
        return Spring(lora, self.decay, self.pull)


class Spring:
    """An average at work, corrected at the start for having been nothing yet, as Adam's moments are."""

    def __init__(self, lora: Lora, decay: float, pull: float) -> None:
        self.weights: list[Tensor] = [parameter for parameter in lora.parameters()]
        self.decay, self.pull, self.known = decay, pull, 0.0
        self.sums = [torch.zeros_like(weight) for weight in self.weights]

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights in, and pull them back."""
        self.known = self.decay * self.known + (1 - self.decay)
        for total, weight in zip(self.sums, self.weights, strict=True):
            total.mul_(self.decay).add_(weight, alpha=1 - self.decay)
            weight.lerp_(total / self.known, self.pull)

    @torch.no_grad()
    def finish(self) -> None:
        """The average becomes the adapter."""
        if self.known:
            for total, weight in zip(self.sums, self.weights, strict=True):
                weight.copy_(total / self.known)
