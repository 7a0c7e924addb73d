"""Pictures of the concept, noised: the states that a fine-tuning on pictures would see."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...settings import Settings
from ..progress import Progress, Report, Stop
from ..prompts import Prompts
from ..scene import Scene
from ..states import States, guided_step
from .buffer import Buffer


@dataclass(frozen=True)
class Noised:
    """As many states as `recorded` has, each a picture of the concept with fresh noise, at the sampling's noise levels.

    The pictures are the frozen model's own, so nobody has to give any. Erasers that fine-tune on pictures see such
    states (SalUn, arXiv 2310.12508).
    """

    def begin(self, scene: Scene, report: Report, stop: Stop) -> Buffer:
        """Draw the pictures and noise them."""
        denoiser, steps, prompts = scene.denoiser, scene.settings.trajectory_steps, scene.prompts.practised()
        clean = pictures(scene, prompts, report, stop)
        row = torch.arange(len(clean)).repeat(steps)
        sigma = denoiser.sigmas(steps)[:-1].repeat_interleave(len(clean)).to(clean)
        noise = torch.randn((len(row), *clean.shape[1:]), generator=scene.generator).to(clean)
        x, pair = noised(clean[row], sigma, noise, denoiser.prediction_type), row % len(prompts.target)
        parts = prompts.target[pair], prompts.reference[pair], prompts.empty[torch.zeros_like(row)]
        target, reference, empty = (scene.base(x, sigma, part) for part in parts)
        return Buffer(scene, prompts, States(x, sigma, target, reference, empty, pair))

    def evaluations(self, settings: Settings) -> tuple[int, int, int]:
        """Two predictions a step of the pictures, three a state; nothing later."""
        return 5 * settings.trajectories * settings.trajectory_steps, 0, 0


@torch.no_grad()
def pictures(scene: Scene, prompts: Prompts, report: Report, stop: Stop) -> Tensor:
    """Latents of pictures of the concept (N,C,H,W), by the frozen model's guided sampling."""
    settings, denoiser = scene.settings, scene.denoiser
    row = torch.arange(settings.trajectories) % len(prompts.target)
    asked, blank = prompts.target[row], prompts.empty[torch.zeros_like(row)]
    x, sigmas = denoiser.initial_noise(len(row), scene.generator), denoiser.sigmas(settings.trajectory_steps)
    for index in range(settings.trajectory_steps):
        sigma = sigmas[index].expand(len(row)).to(x.device)
        x, _, _ = guided_step(denoiser, x, sigma, sigmas[index + 1], asked, blank, settings.guidance_scale)
        report(Progress("recording", index + 1, settings.trajectory_steps))
        if stop():
            break
    return x


def noised(clean: Tensor, sigma: Tensor, noise: Tensor, prediction_type: str) -> Tensor:
    """Clean latents (N,C,H,W) at noise levels sigma (N,), by the convention of `lora_unlearn.denoiser`."""
    level = sigma.view(-1, *[1] * (clean.ndim - 1))
    return (1 - level) * clean + level * noise if prediction_type == "flow" else clean + level * noise
