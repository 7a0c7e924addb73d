"""UnGuide's gate as released (arXiv 2508.05755), kept exact as the yardstick; nothing here is used by other gates.

The training is a method like others, see `lora_unlearn.training.methods`. At sampling a decision for each prompt from
many extra runs, then both rows of the guidance mixed with w = -1 (concept) or w = 2 (anything else).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from .adapter import Adapter
from .denoiser import Denoiser
from .gate import raw
from .settings import Settings
from .training.methods import PAPER as PAPER
from .training.sources.own import partial_sampling

OPEN_STRENGTH, CLOSED_STRENGTH = 2.0, -1.0
"""s = 1 - w for w1 = -1 and w2 = 2."""


def opens(
    denoiser: Denoiser,
    adapter: Adapter,
    prompt: str,
    repeats: int = 30,
    steps_run: int = 10,
    guidance_scale: float = 7.5,
    seed: int = 0,
) -> tuple[bool, float, float]:
    """UnGuide's gate: is the adapter's mean change for this prompt larger than for the empty prompt?

    Both are averaged over `repeats` base trajectories of `steps_run` of 50 steps, each prompt on its own.

    Returns:
        The decision, the prompt's mean norm and the empty prompt's.
    """
    settings = replace(adapter.settings, guidance_scale=guidance_scale, trajectory_steps=50)
    norms = [
        float(changes(denoiser, adapter, text, settings, repeats, steps_run, seed).mean()) for text in (prompt, "")
    ]
    return norms[0] > norms[1], norms[0], norms[1]


@torch.no_grad()
def changes(
    denoiser: Denoiser, adapter: Adapter, text: str, settings: Settings, repeats: int, steps_run: int, seed: int
) -> Tensor:
    """Norms (repeats,) of the adapter's change of the prediction, each on a base trajectory of its own."""
    generator = torch.Generator().manual_seed(seed)
    prompt = denoiser.encode([text])[[0] * repeats]
    x, sigma = partial_sampling(denoiser, prompt, denoiser.encode([""]), settings, steps_run, generator)
    with adapter.lora.attached(denoiser.linears(settings.selector)):
        base = denoiser.predict(x, sigma, prompt)
        with adapter.lora.rows(torch.ones(1)):
            return raw(denoiser.predict(x, sigma, prompt) - base)
