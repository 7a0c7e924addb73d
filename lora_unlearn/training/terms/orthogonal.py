"""Orthogonal directions: the layers' directions do not overlap with those that the kept prompts use most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...lora import Lora
from ...moments import tokens
from ...options import option
from ..scene import Scene
from ..states import States


@dataclass(frozen=True)
class Orthogonal:
    """weight * sum over layers of |A K^T|_F^2 / |A|_F^2, for directions A and the kept prompts' `count` main axes K.

    O3 (arXiv 2407.10223) and DyME (arXiv 2509.21433) hold an adapter orthogonal to those that are there already; where
    there is none, what the model says about everything else stands for them. Only layers that read the text take part.
    """

    weight: float = option(0.1, 0, 1e6, "how much the overlap counts")
    count: int = option(8, 1, 512, "main axes of the kept prompts that are avoided")

    def begin(self, scene: Scene) -> Callable[[Lora, States], Tensor]:
        """The loss of one training."""
        text = tokens(scene.prompts.keep)
        axes = torch.linalg.svd(text, full_matrices=False).Vh[: self.count]

        def loss(lora: Lora, states: States) -> Tensor:
            downs = [layer.down for _, layer in lora.items() if layer.down.shape[1] == axes.shape[1]]
            overlap = [(down @ axes.to(down).T).square().sum() / down.square().sum().clamp_min(1e-12) for down in downs]
            return self.weight * torch.stack(overlap).mean()

        return loss

    def evaluations(self) -> tuple[int, int]:
        """None."""
        return 0, 0
