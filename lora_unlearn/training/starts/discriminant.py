"""One direction: Fisher's between the concept's tokens and all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ... import directions
from ...lora import Lora, new_lora
from ..scene import Scene
from .moves import Moves


@dataclass(frozen=True)
class Discriminant:
    """down = Fisher's direction, shared by all layers, up = 0; see `lora_unlearn.directions.discriminant`."""

    moves: ClassVar[Moves] = "fixed"

    def __call__(self, scene: Scene) -> Lora:
        """The adapter."""
        prompts = scene.prompts
        down = directions.discriminant(prompts.text_pairs[0], prompts.keep, prompts.empty)
        return new_lora(scene.targets, 1, 1.0, scene.generator, down)
