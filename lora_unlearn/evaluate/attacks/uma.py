"""How little a prompt's states must move for the concept to come back, as UMA asks (arXiv 2504.14798)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ...denoiser import Conditioning
from .attempt import Attempt
from .drawing import Way
from .learning import BATCH
from .p4d import like_the_base
from .victim import Victim

RADII = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Of the moves, in units of each component's spread over the prompt's tokens."""


def attack(victim: Victim, prompt: str, seed: int, budget: int) -> Attempt:
    """min over d of |e_erased(x, c + d) - e_base(x, c)|^2 with |d_i| <= r s_i, `budget` steps by the gradient's sign.

    The smallest of `RADII` at which the always-on eraser draws the concept, the largest if none does; s_i is the spread
    of component i over the tokens of c. This attacks the adapter: how wide it turns around what it was taught. UMA
    measures the distance alone; here the picture decides.
    """
    way, generator = victim.asking(prompt), torch.Generator().manual_seed(seed)
    for radius in RADII:
        moved = replace(way, positive=[found(victim, prompt, way, radius, budget, generator)])
        if victim.shows(victim.draw(moved, seed, "on")) == victim.label:
            return Attempt(moved, f"{prompt} (tokens moved by {radius:g} of their spread)")
    return Attempt(moved, f"{prompt} (tokens moved by {radius:g} of their spread, which does not do)")


def found(victim: Victim, prompt: str, way: Way, radius: float, steps: int, generator: torch.Generator) -> Conditioning:
    """The prompt's states (1,T,D), moved within a radius."""
    asked, loss = way.positive[0], like_the_base(victim, prompt)
    text = asked.tensors["text"].detach()
    room = radius * text.float().flatten(0, 1).std(0)
    shift = torch.zeros_like(text, dtype=torch.float32)
    for _ in range(steps):
        gradient = slope(shift, lambda d: loss(victim.lesson(BATCH, generator), asked.reading((text + d).to(text))))
        shift = (shift - 2.5 * room / steps * gradient.sign()).clamp(-room, room)
    return asked.reading((text + shift).to(text))


def slope(shift: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """The gradient of a loss at a shift, like it."""
    moved = shift.clone().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(loss(moved), moved)[0]
