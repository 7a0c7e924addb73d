"""What the adapter learns: from the frozen model's predictions to a target for its own.

Each objective is a function `(states, gamma) -> Tensor` (N,C,H,W): what the adapted model should predict for the target
prompt, gamma being the strength of negative guidance. The weights of the three predictions sum to one, so that a target
means the same for epsilon, v and velocity.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ..states import States
from .esd import esd
from .leco import leco
from .redirect import redirect
from .surgical import surgical
from .unguide import unguide

Objective = Callable[[States, float], Tensor]
OBJECTIVES: dict[str, Objective] = {
    "unguide": unguide, "redirect": redirect, "surgical": surgical, "esd": esd, "leco": leco,
}  # fmt: skip
"""Objectives by name."""
