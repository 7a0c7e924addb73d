"""Training states: latents at known noise levels on the frozen model's way from noise to the concept.

One trajectory serves many updates. With each state the frozen model's predictions are kept: they never
change, so an update costs one evaluation with gradient and none without.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .denoiser import Conditioning, Denoiser, derivative


@dataclass
class States:
    """A buffer of N states.

    Attributes:
        x: latents (N,C,H,W).
        sigma: their noise levels (N,).
        target, reference, empty: the frozen model's native predictions for the target prompt, the reference
            prompt and the empty prompt, each like x.
        row: which (target, reference) prompt pair each state belongs to (N,).
    """

    x: Tensor
    sigma: Tensor
    target: Tensor
    reference: Tensor
    empty: Tensor
    row: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, chosen: Tensor) -> States:
        return States(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


@torch.no_grad()
def record(
    denoiser: Denoiser,
    targets: Conditioning,
    references: Conditioning,
    empty: Conditioning,
    count: int,
    steps: int,
    guidance_scale: float,
    generator: torch.Generator,
    shared_reference: bool,
    report: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> States:
    """Sample `count` trajectories of `steps` Euler steps under classifier-free guidance, keeping every state.

    Args:
        denoiser: the frozen model.
        targets, references: conditionings of the prompt pairs, row by row.
        empty: the empty prompt, one row.
        guidance_scale: of the sampling (classifier-free guidance, arXiv 2207.12598).
        shared_reference: the references are the empty prompt; one evaluation a state is saved.
        report: called with (steps done, steps in all).
        stop: asked after every step; True ends the recording with the states that there are.
    """
    row = torch.arange(count) % len(targets)
    target, reference, blank = targets[row], references[row], empty[torch.zeros(count, dtype=torch.long)]
    x, sigmas = denoiser.initial_noise(count, generator), denoiser.sigmas(steps)
    parts = []
    for index in range(steps):
        sigma = sigmas[index].expand(count).to(x.device)
        e_target, e_empty = denoiser.predict(x, sigma, target), denoiser.predict(x, sigma, blank)
        e_reference = e_empty if shared_reference else denoiser.predict(x, sigma, reference)
        parts.append(States(x, sigma, e_target, e_reference, e_empty, row))
        guided = e_empty + guidance_scale * (e_target - e_empty)
        x = x + derivative(x, sigma, guided, denoiser.prediction_type) * (sigmas[index + 1] - sigmas[index]).to(x)
        if report is not None:
            report(index + 1, steps)
        if stop():
            break
    return States(*(torch.cat([getattr(part, name) for part in parts]) for name in States.__dataclass_fields__))
