"""Training states, the currency of every method: latents at known noise levels, and what was predicted there.

Whatever a method changes about a training travels in them: which states, what the adapter is asked, what counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from ..denoiser import Conditioning, Denoiser, derivative


@dataclass
class States:
    """N states.

    Attributes:
        x: latents (N,C,H,W).
        sigma: their noise levels (N,).
        target, reference, empty: the frozen model's native predictions for the target prompt, the reference
            prompt and the empty prompt, each like x.
        row: which (target, reference) prompt pair each state belongs to (N,).
        asked: what the adapter is asked in each state, N rows; None in a buffer, where `row` tells it.
        weight: how much each state counts (N,); None: all the same.
    """

    x: Tensor
    sigma: Tensor
    target: Tensor
    reference: Tensor
    empty: Tensor
    row: Tensor
    asked: Conditioning | None = None
    weight: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, chosen: Tensor) -> States:
        return self.map(lambda part: part[chosen])

    def map(self, change: Callable[[Any], Any]) -> States:
        """Every part that there is, changed."""
        parts: dict[str, Any] = {declared.name: getattr(self, declared.name) for declared in fields(self)}
        return replace(self, **{name: change(part) for name, part in parts.items() if part is not None})

    def weighed(self, factor: Tensor) -> States:
        """The same states, each counting `factor` (N,) times as much."""
        return replace(self, weight=factor if self.weight is None else self.weight * factor)


def together(parts: list[States]) -> States:
    """A buffer of all states, one after the other; without what is asked and weights."""
    names = ("x", "sigma", "target", "reference", "empty", "row")
    columns: dict[str, Any] = {name: torch.cat([getattr(part, name) for part in parts]) for name in names}
    return States(**columns)


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
        onward, e_target, e_empty = guided_step(denoiser, x, sigma, sigmas[index + 1], target, blank, guidance_scale)
        e_reference = e_empty if shared_reference else denoiser.predict(x, sigma, reference)
        parts.append(States(x, sigma, e_target, e_reference, e_empty, row))
        x = onward
        if report is not None:
            report(index + 1, steps)
        if stop():
            break
    return together(parts)


def guided_step(
    denoiser: Denoiser,
    x: Tensor,
    sigma: Tensor,
    following: Tensor,
    prompt: Conditioning,
    blank: Conditioning,
    guidance_scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """One Euler step under classifier-free guidance.

    Args:
        x: states (N,C,H,W) at noise levels sigma (N,).
        following: the next level, a scalar.

    Returns:
        The states after it, and the predictions for the prompt and for the empty prompt.
    """
    e_prompt, e_blank = denoiser.predict(x, sigma, prompt), denoiser.predict(x, sigma, blank)
    guided = e_blank + guidance_scale * (e_prompt - e_blank)
    step = derivative(x, sigma, guided, denoiser.prediction_type) * (following - sigma[0].to(following)).to(x)
    return x + step, e_prompt, e_blank
