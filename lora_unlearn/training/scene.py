"""What every part of a method works on, and the one way in which the adapter under training is evaluated."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from ..activations import offloaded
from ..denoiser import Conditioning, Denoiser, Target
from ..lora import Lora
from ..settings import Settings
from .prompts import Prompts


@dataclass
class Scene:
    """A training's surroundings.

    Attributes:
        denoiser: the loaded model, frozen.
        prompts: of the concept and of everything else.
        targets: the layers that the adapter sits on.
        settings: hyper-parameters.
        generator: of every random draw, in the order in which they are made.
    """

    denoiser: Denoiser
    prompts: Prompts
    targets: dict[str, Target]
    settings: Settings
    generator: torch.Generator

    def adapted(self, lora: Lora, x: Tensor, sigma: Tensor, asked: Conditioning) -> Tensor:
        """What the adapted model predicts (N,C,H,W), with gradients for the adapter where they are on."""
        with lora.rows(torch.ones(1)), offloaded() if self.settings.offload else nullcontext():
            return self.denoiser.predict(x, sigma, asked)

    @torch.no_grad()
    def base(self, x: Tensor, sigma: Tensor, asked: Conditioning) -> Tensor:
        """What the frozen model predicts (N,C,H,W); an attached adapter is silent meanwhile."""
        return self.denoiser.predict(x, sigma, asked)

    def disturbed(self, lora: Lora, x: Tensor, sigma: Tensor, asked: Conditioning) -> Tensor:
        """How far the adapter moves predictions that must stay: mean |e_lora(x, asked) - e(x, asked)|^2, a scalar."""
        before = self.base(x, sigma, asked)
        return (self.adapted(lora, x, sigma, asked) - before).float().square().mean()

    def kept(self, count: int) -> Conditioning:
        """Some of the prompts that must not change, at random, `count` rows."""
        return self.prompts.keep[torch.randint(0, len(self.prompts.keep), (count,), generator=self.generator)]
