"""UnGuide's start: random directions, and nothing that they do yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ...lora import Lora, new_lora
from ..scene import Scene
from .moves import Moves


@dataclass(frozen=True)
class Random:
    """down ~ N(0, 1 / rank), up = 0, the residual times `scale`, which is UnGuide's alpha (arXiv 2508.05755)."""

    moves: ClassVar[Moves] = "plain"

    def __call__(self, scene: Scene) -> Lora:
        """The adapter."""
        return new_lora(scene.targets, scene.settings.rank, scene.settings.scale, scene.generator)
