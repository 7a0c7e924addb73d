"""What is to be erased and how, and who watches while it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from .adapter import Adapter
from .concept import Concept
from .promise import USUAL, Promise
from .settings import Settings
from .training.progress import Report, Stop

Save = Callable[[Adapter], None]


@dataclass(frozen=True)
class Order:
    """An eraser to be made. Hosts add what is theirs to it.

    Attributes:
        concept: what to erase.
        mode: the name of a method, see `lora_unlearn.training.methods`.
        settings: its parts and hyper-parameters.
        promise: of the gate.
    """

    concept: Concept
    mode: str
    settings: Settings
    promise: Promise = USUAL

    def fitted(self, settings: Settings) -> Order:
        """The same order with settings that fit the machine at hand."""
        return replace(self, settings=settings)


@dataclass(frozen=True)
class Watch:
    """Who is told of an eraser that is being made, and who may stop it.

    Attributes:
        report: called with the training's `Progress`.
        stop: asked between steps; a stopped training leaves an adapter marked as partial, not calibrated.
        calibrated: called with (prompts done, prompts in all) during calibration.
        save: called after every update and before calibration with the unfinished adapter, to keep it on the way.
    """

    report: Report = lambda progress: None
    stop: Stop = lambda: False
    calibrated: Callable[[int, int], None] = lambda done, total: None
    save: Save = lambda adapter: None


NOBODY = Watch()
"""Who is told nothing and stops nothing."""
