"""No average: the last update is what is kept."""

from __future__ import annotations

from dataclasses import dataclass

from ...lora import Lora
from ..scene import Scene


@dataclass(frozen=True)
class Last:
    """The adapter as it is after the last update."""

    def begin(self, scene: Scene, lora: Lora) -> Last:
        """The average of one training: itself."""
        return self

    def update(self) -> None:
        """Nothing to do."""

    def finish(self) -> None:
        """Nothing to do."""
