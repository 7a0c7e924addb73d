"""Circumventing concept erasure (arXiv 2308.01508): textual inversion on the erased model."""

from __future__ import annotations

from .attempt import Attempt
from .learning import to_the_picture
from .textual_inversion import learned
from .victim import Victim


def attack(victim: Victim, prompt: str, seed: int, budget: int) -> Attempt:
    """min over vectors v of |e_erased(x, P(v)) - e_0|^2, `budget` updates: a vector that the adapter does not move."""
    return learned(victim, prompt, seed, budget, to_the_picture(victim.erased))
