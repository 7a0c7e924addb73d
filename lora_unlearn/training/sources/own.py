"""UnGuide's source as released: a fresh way of the adapted model itself for every update."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...denoiser import Conditioning, Denoiser, derivative
from ...lora import Lora
from ...settings import Settings
from ..progress import Report, Stop
from ..scene import Scene
from ..states import States


@dataclass(frozen=True)
class Own:
    """For every update the adapted model samples the concept up to a random step, and that state is trained on.

    UnGuide (arXiv 2508.05755) and LECO do so. One deviation: a state is evaluated at its own noise level.
    """

    def begin(self, scene: Scene, report: Report, stop: Stop) -> OwnWay:
        """Nothing comes before the first update."""
        return OwnWay(scene)

    def evaluations(self, settings: Settings) -> tuple[int, int, int]:
        """Two predictions for each of half the steps on average, and target, reference and empty prompt."""
        return 0, settings.trajectory_steps + 3, 0


class OwnWay:
    """The source at work."""

    held: States | None = None

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def draw(self, lora: Lora, count: int) -> States:
        """Fresh states, all at one random step."""
        scene, settings = self.scene, self.scene.settings
        row = torch.randint(0, len(scene.prompts.target), (count,), generator=scene.generator)
        target, reference = scene.prompts.target[row], scene.prompts.reference[row]
        stop_at = int(torch.randint(0, settings.trajectory_steps, (1,), generator=scene.generator))
        with lora.rows(torch.ones(1)):
            x, sigma = partial_sampling(scene.denoiser, target, scene.prompts.empty, settings, stop_at, scene.generator)
        e_target, e_reference = scene.base(x, sigma, target), scene.base(x, sigma, reference)
        e_empty = e_reference
        if not scene.prompts.shared_reference:  # objectives and terms may ask for it, whichever they are
            e_empty = scene.base(x, sigma, scene.prompts.empty[torch.zeros_like(row)])
        return States(x, sigma, e_target, e_reference, e_empty, row, target)


@torch.no_grad()
def partial_sampling(
    denoiser: Denoiser,
    prompt: Conditioning,
    empty: Conditioning,
    settings: Settings,
    stop_at: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """`stop_at` guided DDIM steps from noise: the state (B,C,H,W) and its noise level (B,)."""
    count, sigmas = len(prompt), denoiser.sigmas(settings.trajectory_steps)
    x, both = denoiser.initial_noise(count, generator), Conditioning.cat([empty[[0] * count], prompt])
    for index in range(stop_at):
        sigma = sigmas[index].expand(count).to(x.device)
        e_blank, e_prompt = denoiser.predict(torch.cat([x, x]), sigma.repeat(2), both).chunk(2)
        guided = e_blank + settings.guidance_scale * (e_prompt - e_blank)
        x = x + derivative(x, sigma, guided, denoiser.prediction_type) * (sigmas[index + 1] - sigmas[index]).to(x)
    return x, sigmas[stop_at].expand(count).to(x.device)
