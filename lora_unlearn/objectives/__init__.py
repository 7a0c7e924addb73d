"""What the adapter learns: from the frozen model's predictions to a target for its own.

Each objective is a function `(target, reference, empty, gamma) -> Tensor`, all (B,C,H,W): the native
predictions of the frozen model for the target prompt, the reference prompt and the empty prompt, and the
strength of negative guidance. It returns what the adapted model should predict for the target prompt.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from .unguide import redirect, surgical, unguide

Objective = Callable[[Tensor, Tensor, Tensor, float], Tensor]

OBJECTIVES: dict[str, Objective] = {"unguide": unguide, "redirect": redirect, "surgical": surgical}
"""Objectives by name."""
