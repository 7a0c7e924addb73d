"""States that were made once, drawn from again and again."""

from __future__ import annotations

from dataclasses import replace

import torch

from ...lora import Lora
from ..prompts import Prompts
from ..scene import Scene
from ..states import States


class Buffer:
    """A drawing from a buffer; a few of its states are also held to be looked at."""

    def __init__(self, scene: Scene, prompts: Prompts, states: States) -> None:
        self.scene, self.prompts, self.states = scene, prompts, states
        chosen = torch.randperm(len(states), generator=scene.generator)[: scene.settings.batch]
        self.held: States | None = self._asked(states[chosen])

    def draw(self, lora: Lora, count: int) -> States:
        """States at random, with repetition."""
        return self._asked(self.states[torch.randint(0, len(self.states), (count,), generator=self.scene.generator)])

    def _asked(self, states: States) -> States:
        return replace(states, asked=self.prompts.target[states.row])
