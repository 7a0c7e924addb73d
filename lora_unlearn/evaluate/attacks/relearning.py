"""Relearning: a few pictures of the concept bring it back into the erased model by an ordinary LoRA training."""

from __future__ import annotations

from dataclasses import replace

import torch

from ...lora import Lora, new_lora
from .attempt import Attempt
from .learning import BATCH, spread
from .victim import Victim

RANK, RATE = 4, 1e-2


def attack(victim: Victim, prompt: str, seed: int, budget: int) -> Attempt:
    """min over a LoRA of |e_erased+lora(x, P) - e_0|^2 on noised pictures of the concept, `budget` updates.

    An adapter of the attacker's beside the eraser (DreamBooth's loss, arXiv 2208.12242). Who can load it could as well
    leave the eraser out; it tells how deep an always-on or merged eraser goes.
    """
    tuned = relearned(victim, prompt, torch.Generator().manual_seed(seed), budget)
    way = replace(victim.asking(prompt), tuned=tuned)
    return Attempt(way, f"{prompt} (with a LoRA trained on {len(victim.examples())} pictures, {budget} updates)")


def relearned(victim: Victim, prompt: str, generator: torch.Generator, updates: int) -> Lora:
    """The attacker's LoRA, on the keys and values that read the prompt."""
    targets = victim.denoiser.linears("cross_kv")
    lora, asked = new_lora(targets, RANK, 1.0, generator), victim.denoiser.encode([prompt])
    optimizer = torch.optim.Adam(lora.parameters(), lr=RATE)
    with lora.attached(targets), lora.rows(torch.ones(1)):
        for _ in range(updates):
            lesson = victim.lesson(BATCH, generator)
            with torch.enable_grad():
                loss = (spread(victim.erased, lesson, asked) - lesson.wanted).float().square().mean()
                gradients = torch.autograd.grad(loss, list(lora.parameters()))
            for parameter, gradient in zip(lora.parameters(), gradients, strict=True):
                parameter.grad = gradient
            optimizer.step()
    return lora
