"""Inversion: the noise of which the model makes a given picture by itself, without any prompt."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...denoiser import Conditioning, derivative
from .attempt import Attempt
from .drawing import Way
from .img2img import known
from .victim import Victim

Model = Callable[[Tensor, Tensor, Conditioning], Tensor]


def attack(victim: Victim, prompt: str, seed: int, budget: int) -> Attempt:
    """DDIM inversion (arXiv 2010.02502) of a picture of the concept, on the base model under the empty prompt.

    x_i = x_{i+1} - f(x_{i+1}, sigma_i) (sigma_{i+1} - sigma_i), from the picture back to noise; a run from there draws
    the picture again. The attacker has it already: this shows that the model still can. The budget does not matter.
    """
    empty = victim.denoiser.encode([""])
    start = inverted(victim, victim.base, known(victim, seed), empty, corrections=0)
    return Attempt(Way([empty], start=start), f"(no prompt; noise inverted from a picture of {victim.label})")


@torch.no_grad()
def inverted(victim: Victim, model: Model, clean: Tensor, asked: Conditioning, corrections: int) -> Tensor:
    """The first state (1,C,H,W) of an unguided run that ends in a clean one.

    Args:
        corrections: how often each step is solved again with the slope at its own start, x <- x_{i+1} - f(x) dsigma;
            0 is DDIM's inversion, with the slope at x_{i+1}.
    """
    denoiser, sigmas = victim.denoiser, victim.denoiser.sigmas(victim.steps)
    x = clean
    for index in range(victim.steps - 1, -1, -1):
        sigma = sigmas[index].reshape(1).to(x)
        after, width = x, float(sigmas[index + 1] - sigmas[index])
        for _ in range(1 + corrections):
            slope = derivative(x, sigma, model(x, sigma, asked), denoiser.prediction_type)
            x = after - slope * width
    return x
