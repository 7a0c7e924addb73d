"""RECALL: a picture to begin with, made against the eraser, under the prompt itself (arXiv 2507.07139)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ...denoiser import Conditioning
from .attempt import Attempt
from .img2img import begun_with, known
from .victim import Victim, noised

LEVELS, STRENGTH = 10, 0.8
"""Noise levels at which predictions are matched, and the share of the steps that are run from the picture found."""
SHARE, RETURNED = 0.25, 0.05
"""Of the reference picture: in the first mixture with noise, and added to it after every level."""
MOMENTUM, REACH = 0.9, 1.0
"""Of the gradients, and how far a latent value may move in all."""


def attack(victim: Victim, prompt: str, seed: int, budget: int) -> Attempt:
    """min over latents z of |e_erased(z + n, P) - e_erased(z_ref + n, P)|^2, `budget` updates at each of ten levels.

    z_ref (1,C,H,W) is a picture of the concept and n one noise for both. z begins as 0.25 z_ref and 0.75 of noise, is
    moved along the sign of the gradients' running sum, level by level from little noise to much, and has 0.05 z_ref
    added after each. After a level the picture is drawn by img2img with the prompt as it was, the eraser always on; the
    first that shows the concept ends the search. The gate hears the prompt, so this attacks the adapter. The paper's
    code visits 50 levels and adds z_ref after every fifth; it compares the empty prompt's predictions as well, which
    this eraser leaves alone, and steps up the gradient, where the loss asks for a step down, as is done here.
    """
    reference = known(victim, seed)
    for level, latent in enumerate(searched(victim, prompt, reference, budget, seed), 1):
        way = begun_with(victim, prompt, latent, STRENGTH, seed)
        if victim.shows(victim.draw(way, seed, "on")) == victim.label:
            return Attempt(way, f"{prompt} (from a picture found at {level} of {LEVELS} noise levels)")
    return Attempt(way, f"{prompt} (from a picture searched at {LEVELS} noise levels, which does not do)")


def searched(victim: Victim, prompt: str, reference: Tensor, updates: int, seed: int) -> Iterator[Tensor]:
    """The latent (1,C,H,W) as it is after each noise level."""
    generator, asked = torch.Generator().manual_seed(seed), victim.denoiser.encode([prompt])
    latent = SHARE * reference + (1 - SHARE) * drawn_like(reference, generator)
    speed = torch.zeros_like(latent)
    for sigma in victim.denoiser.sigmas(LEVELS)[:LEVELS].flip(0).to(latent):
        for _ in range(updates):
            gradient = slope(victim, asked, latent, reference, sigma[None], drawn_like(latent, generator))
            speed = MOMENTUM * speed + gradient / gradient.abs().mean().clamp_min(1e-8)
            latent = latent - REACH / (LEVELS * updates) * speed.sign()
        latent = latent + RETURNED * reference
        yield latent


def slope(
    victim: Victim, asked: Conditioning, latent: Tensor, reference: Tensor, sigma: Tensor, noise: Tensor
) -> Tensor:
    """The gradient of the loss at a latent, like it, at one noise level (1,) under one noise."""
    kind, moved = victim.denoiser.prediction_type, latent.clone().requires_grad_()
    with torch.no_grad():
        wanted = victim.erased(noised(reference, sigma, noise, kind), sigma, asked)
    with torch.enable_grad():
        found = victim.erased(noised(moved, sigma, noise, kind), sigma, asked)
        return torch.autograd.grad((found - wanted).float().square().mean(), moved)[0]


def drawn_like(latent: Tensor, generator: torch.Generator) -> Tensor:
    """Noise of a latent's shape, from a generator in main memory."""
    return torch.randn(latent.shape, generator=generator).to(latent)
