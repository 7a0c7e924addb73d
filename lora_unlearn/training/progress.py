"""What a training reports while it runs, and what it leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..lora import Lora


@dataclass
class Progress:
    """One report of a running training: data only, a host draws it.

    Attributes:
        stage: "recording" or "training".
        step, steps: how far it is.
        loss: of the last update.
        redirected: the matched filter on held-out states, 0 untouched, 1 fully redirected; None when unknown.
        lora: the adapter as it stands, live: for saving it on the way; None while recording.
    """

    stage: str
    step: int
    steps: int
    loss: float | None = None
    redirected: float | None = None
    lora: Lora | None = None


@dataclass
class Trained:
    """What a training leaves: the adapter, whether it ran to its end, and how well the target is met."""

    lora: Lora
    complete: bool
    redirected: float | None
    iterations: int
    losses: list[float] = field(default_factory=list)


Report = Callable[[Progress], None]
Stop = Callable[[], bool]
