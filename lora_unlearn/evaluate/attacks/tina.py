"""TINA: text-free inversion on the erased model itself (arXiv 2603.17828)."""

from __future__ import annotations

from .attempt import Attempt
from .drawing import Way
from .img2img import known
from .inversion import inverted
from .victim import Victim


def attack(victim: Victim, prompt: str, seed: int, budget: int) -> Attempt:
    """Noise from which the erased model draws a picture of the concept without a prompt.

    Every step back is solved for the state whose own step leads on to the one after it, by `budget` corrections:
    x_i = x_{i+1} - f_erased(x_i, sigma_i) (sigma_{i+1} - sigma_i), a fixed point under the empty prompt. TINA asks for
    the same one: it minimises the squared difference of both sides by 25 updates of AdamW at a rate of 0.001, where
    this puts the right side in for the left again.
    """
    empty = victim.denoiser.encode([""])
    start = inverted(victim, victim.erased, known(victim, seed), empty, corrections=budget)
    return Attempt(Way([empty], start=start), f"(no prompt; noise inverted on the erased model, {budget} corrections)")
