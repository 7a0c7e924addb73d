"""Textual inversion (arXiv 2208.01618): the concept as a vector that has no word, learned from a few pictures."""

from __future__ import annotations

import torch

from .attempt import Attempt
from .learning import Loss, learn, to_the_picture
from .soft import Soft
from .victim import Victim

TOKENS, RATE = 2, 0.3
NEUTRAL = "thing"
"""The word whose vector is the start."""


def attack(victim: Victim, prompt: str, seed: int, budget: int) -> Attempt:
    """min over vectors v of |e_base(x, P(v)) - e_0|^2, `budget` updates: learned on the base model, as most are.

    Such files are passed around; nobody who made one need have thought of any eraser.
    """
    return learned(victim, prompt, seed, budget, to_the_picture(victim.base))


def attack_shut(victim: Victim, prompt: str, seed: int, budget: int) -> Attempt:
    """The same, with a term that keeps the gate's text score below its threshold: max(0, S(P(v)) - tau) / tau."""
    return learned(victim, prompt, seed, budget, to_the_picture(victim.base), shut=True)


def learned(victim: Victim, prompt: str, seed: int, budget: int, loss: Loss, shut: bool = False) -> Attempt:
    """Vectors in the place of the concept's words, learned by a loss."""
    generator, soft = torch.Generator().manual_seed(seed), Soft(victim)
    layout = soft.instead_of(prompt, victim.words)
    start = soft.rows(NEUTRAL).mean(0).expand(TOKENS, -1)
    start = start + 0.1 * start.std() * torch.randn(start.shape, generator=generator).to(start)
    free = learn(victim, soft, layout, start, loss, budget, RATE, generator, shut=shut)
    with torch.no_grad():
        asked = soft.encode(layout, free)
    shown = soft.tokenizer.decode([*layout.before, *soft.ids(" * "), *layout.after])
    way = victim.asking(prompt)
    return Attempt(type(way)([asked], way.negative, way.scale), f"{shown} (* stands for {TOKENS} learned vectors)")
