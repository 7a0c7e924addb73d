"""Noise levels: how sigma relates to what a network is told and fed, for diffusion and for flow matching."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

SMALLEST_SIGNAL = 2.0**-24
"""Keeps the highest noise level of zero-SNR schedules finite."""


class DiffusionSchedule:
    """Epsilon and v models: states x0 + sigma * noise, inputs scaled to unit variance, a table of timesteps."""

    def __init__(self, alphas_cumprod: Tensor) -> None:
        signal = alphas_cumprod.double().cpu().clamp(min=SMALLEST_SIGNAL)
        self.table = ((1 - signal) / signal).sqrt().float()

    @property
    def first(self) -> float:
        """The highest noise level."""
        return float(self.table[-1])

    def scaled(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The network's input for states x (B,C,H,W) at sigma (B,)."""
        return x / (sigma.to(x).view(-1, 1, 1, 1) ** 2 + 1).sqrt()

    def timestep(self, sigma: Tensor) -> Tensor:
        """The timestep (B,) of a noise level, interpolated between the table's logarithms."""
        logs, wanted = self.table.log(), sigma.detach().float().cpu().clamp_min(1e-6).log()
        low = torch.searchsorted(logs, wanted, right=True).sub(1).clamp(0, len(logs) - 2)
        share = ((wanted - logs[low]) / (logs[low + 1] - logs[low])).clamp(0, 1)
        return (low + share).to(sigma.device)

    def sigmas(self, steps: int) -> Tensor:
        """Noise levels at evenly spaced timesteps, the last one 0, (steps + 1,)."""
        times = torch.linspace(len(self.table) - 1, 0, steps)
        low = times.floor().long().clamp(max=len(self.table) - 2)
        levels = self.table[low].log().lerp(self.table[low + 1].log(), times - low).exp()
        return torch.cat([levels, levels.new_zeros(1)])


class FlowSchedule:
    """Flow matching: states (1 - sigma) * x0 + sigma * noise, fed as they are, timestep 1000 * sigma.

    Args:
        scheduler: diffusers' scheduler, whose shift counts; it is never changed.
        options: what the pipeline passes to its `set_timesteps` for a number of steps.
    """

    first = 1.0

    def __init__(self, scheduler: Any, options: Callable[[int], dict[str, Any]]) -> None:
        self.scheduler, self.options = scheduler, options

    def scaled(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The network's input: x itself."""
        return x

    def timestep(self, sigma: Tensor) -> Tensor:
        """The timestep (B,) of a noise level, 0 to 1000."""
        return sigma * 1000

    def sigmas(self, steps: int) -> Tensor:
        """The scheduler's shifted noise levels, the last one 0, (steps + 1,)."""
        scheduler = copy.deepcopy(self.scheduler)
        scheduler.set_timesteps(**self.options(steps))
        return scheduler.sigmas.float().cpu()


def shift_exponent(config: Any, image_tokens: int) -> float:
    """Flux's and SD3.5's resolution-dependent shift mu: linear in the number of image tokens (arXiv 2403.03206)."""
    few, many = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
    low, high = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
    return low + (high - low) * (image_tokens - few) / (many - few)
