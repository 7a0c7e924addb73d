"""All but One's second half: what the model predicts without a prompt stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...lora import Lora
from ...options import option
from ..scene import Scene
from ..states import States


@dataclass(frozen=True)
class Pin:
    """weight * mean |e_lora(x, 0) - e(x, 0)|^2 (arXiv 2312.12807)."""

    weight: float = option(1.0, 0, 1e6, "how much the empty prompt's prediction counts")

    def begin(self, scene: Scene) -> Callable[[Lora, States], Tensor]:
        """The loss of one training."""

        def loss(lora: Lora, states: States) -> Tensor:
            blank = scene.prompts.empty[torch.zeros(len(states), dtype=torch.long)]
            change = scene.adapted(lora, states.x, states.sigma, blank) - states.empty
            return self.weight * change.float().square().mean()

        return loss

    def evaluations(self) -> tuple[int, int]:
        """One with gradients."""
        return 0, 1
