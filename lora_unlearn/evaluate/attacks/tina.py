"""Text-free inversion on the erased model itself, as TINA does; after null-text inversion (arXiv 2211.09794)."""

from __future__ import annotations

from .attempt import Attempt
from .drawing import Way
from .img2img import known
from .inversion import inverted
from .victim import Victim


def attack(victim: Victim, prompt: str, seed: int, budget: int) -> Attempt:
    """Noise from which the erased model draws a picture of the concept without a prompt.

    Every step back is solved for the state whose own step leads on to the one after it, by `budget` corrections:
    x_i = x_{i+1} - f_erased(x_i, sigma_i) (sigma_{i+1} - sigma_i), a fixed point. TINA's text could not be read: this
    is its idea, no prompt and the erased model's own noise, by these means.
    """
    empty = victim.denoiser.encode([""])
    start = inverted(victim, victim.erased, known(victim, seed), empty, corrections=budget)
    return Attempt(Way([empty], start=start), f"(no prompt; noise inverted on the erased model, {budget} corrections)")
