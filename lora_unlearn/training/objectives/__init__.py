"""What the adapter learns: from the frozen model's predictions to a target for its own.

Each objective is called `(states, gamma) -> Tensor` (N,C,H,W): what the adapted model should predict for the target
prompt, gamma being the strength of negative guidance. It is a function, or a frozen dataclass with `__call__` where it
has hyper-parameters of its own. The weights of the three predictions sum to one, so that a target means the same for
epsilon, v and velocity.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from ...options import made
from ...settings import Settings
from ..states import States
from .esd import esd
from .leco import leco
from .redirect import redirect
from .surgical import surgical
from .unguide import unguide


class Objective(Protocol):
    """A target."""

    def __call__(self, states: States, gamma: float, /) -> Tensor:
        """What the adapted model should predict (N,C,H,W)."""
        ...


OBJECTIVES: dict[str, Objective | type[Objective]] = {
    "unguide": unguide, "redirect": redirect, "surgical": surgical, "esd": esd, "leco": leco,
}  # fmt: skip
"""Objectives by name."""


def objective_of(settings: Settings) -> Objective:
    """The objective of some settings, with its own hyper-parameters where it has any."""
    part = OBJECTIVES[settings.objective]
    return made(part, settings.objective, settings.options) if isinstance(part, type) else part
