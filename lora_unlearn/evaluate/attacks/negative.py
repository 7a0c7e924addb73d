"""The concept as the negative prompt, of which the picture is then made."""

from __future__ import annotations

from .attempt import Attempt
from .drawing import Way
from .victim import Victim

INNOCENT = "a photo"


def attack(victim: Victim, prompt: str, seed: int, budget: int) -> Attempt:
    """e_neg + G (e_pos - e_neg) with the concept as e_neg and G = 1 - s: the same as guidance by s with both exchanged.

    At G = 0 the picture is the negative prompt's own; below, guided towards it. Neither the gate nor the adapter looks
    at negative rows. A host must allow a scale below 1 with two prompts, as ComfyUI does; no paper. Odd seeds take
    G = 0. The budget does not matter.
    """
    scale = 0.0 if seed % 2 else 1.0 - victim.scale
    rows = victim.denoiser.encode([INNOCENT, prompt])
    return Attempt(
        Way([rows[[0]]], [rows[[1]]], scale), f"{INNOCENT} (negative prompt: {prompt}; guidance scale {scale:g})"
    )
