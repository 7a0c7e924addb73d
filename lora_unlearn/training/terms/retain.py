"""Retention: prompts of other things keep their predictions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ...lora import Lora
from ...options import option
from ..scene import Scene
from ..states import States


@dataclass(frozen=True)
class Retain:
    """weight * mean |e_lora(x, c_k) - e(x, c_k)|^2 for kept prompts c_k drawn anew for every state.

    Restricted gradients (arXiv 2412.07808) and AdvUnlearn (arXiv 2405.15234) retain so; the prompts are the bank's,
    hundreds of different ones, which is the former's "diversification".
    """

    weight: float = option(1.0, 0, 1e6, "how much the kept prompts' predictions count")

    def begin(self, scene: Scene) -> Callable[[Lora, States], Tensor]:
        """The loss of one training."""

        def loss(lora: Lora, states: States) -> Tensor:
            return self.weight * scene.disturbed(lora, states.x, states.sigma, scene.kept(len(states)))

        return loss

    def evaluations(self) -> tuple[int, int]:
        """One without gradients and one with."""
        return 1, 1
