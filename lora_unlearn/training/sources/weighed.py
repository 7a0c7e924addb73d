"""What the wrappers share that only change how much a state counts."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ...lora import Lora
from ..states import States
from .drawing import Drawing


class Weighed:
    """A drawing whose states count `weight(lora, states)` (N,) times as much, 1 on average over a batch."""

    def __init__(self, inner: Drawing, weight: Callable[[Lora, States], Tensor]) -> None:
        self.inner, self.weight = inner, weight
        self.held = inner.held

    def draw(self, lora: Lora, count: int) -> States:
        """The inner drawing's states, weighed."""
        states = self.inner.draw(lora, count)
        weight = self.weight(lora, states)
        return states.weighed(weight / weight.mean().clamp_min(1e-12))


def snr(sigma: Tensor, prediction_type: str) -> Tensor:
    """Signal-to-noise ratio (N,) at noise levels (N,): 1 / sigma^2, for flow ((1 - sigma) / sigma)^2."""
    level = sigma.float().clamp_min(1e-6)
    return ((1 - level).clamp_min(1e-6) / level).square() if prediction_type == "flow" else level**-2
