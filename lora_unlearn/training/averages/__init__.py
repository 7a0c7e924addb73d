"""What is kept of the adapter's way through a training.

An average is a frozen dataclass; `begin` takes the adapter as it starts, and hands out a `Running` one that is told of
every update and may pull the adapter back.
"""

from __future__ import annotations

from typing import Protocol

from ...lora import Lora
from ..scene import Scene
from .dampen import Dampen
from .ema import Belay, Ema
from .last import Last


class Running(Protocol):
    """An average at work."""

    def update(self) -> None:
        """The optimizer has made a step."""
        ...

    def finish(self) -> None:
        """The training has come to its end: write what is to be kept into the adapter."""
        ...


class Average(Protocol):
    """A way to average."""

    def begin(self, scene: Scene, lora: Lora) -> Running:
        """The average of one training."""
        ...


AVERAGES: dict[str, type[Average]] = {"last": Last, "ema": Ema, "belay": Belay, "dampen": Dampen}
"""Averages by name."""
