"""Hard-prompt mining: states in which the concept is still far from its target count more."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...lora import Lora
from ...options import option
from ...settings import Settings
from ..scene import Scene
from ..states import States
from ..terms.goal import asked, goal_of
from .drawing import Drawing
from .weighed import Weighed


@dataclass(frozen=True)
class Hardest:
    """w = softmax(r / tau), r being how much of the wanted change is still missing, 1 - <D, G> / |G|^2.

    LoReUn (arXiv 2507.22499) weighs samples by their loss, the worst-case forget set of arXiv 2403.07362 picks them;
    the share that is missing is the loss in units of each state's own target: no noise level is harder as such.
    """

    tau: float = option(0.5, 1e-3, 1e3, "how little a difference in what is missing counts")

    def wrap(self, scene: Scene, drawing: Drawing) -> Weighed:
        """The drawing of one training."""

        @torch.no_grad()
        def weight(lora: Lora, states: States) -> Tensor:
            wanted = (goal_of(scene, states) - states.target).float().flatten(1)
            change = (asked(scene, lora, states) - states.target).float().flatten(1)
            missing = 1 - (change * wanted).sum(1) / wanted.square().sum(1).clamp_min(1e-12)
            return torch.softmax(missing / self.tau, 0)

        return Weighed(drawing, weight)

    def evaluations(self, settings: Settings) -> tuple[int, int, int]:
        """One without gradients for each state."""
        return 0, 1, 0
