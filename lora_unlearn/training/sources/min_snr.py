"""Min-SNR weights: easy states at low noise no longer drown the others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...lora import Lora
from ...options import option
from ...settings import Settings
from ..scene import Scene
from ..states import States
from .drawing import Drawing
from .weighed import Weighed, snr


@dataclass(frozen=True)
class MinSnr:
    """w = min(SNR, gamma) / SNR for epsilon, / (SNR + 1) for v and flow (arXiv 2303.09556)."""

    gamma: float = option(5.0, 1e-3, 1e6, "the signal-to-noise ratio from which up weights no longer rise")

    def wrap(self, scene: Scene, drawing: Drawing) -> Weighed:
        """The drawing of one training."""
        kind = scene.denoiser.prediction_type

        def weight(lora: Lora, states: States) -> Tensor:
            ratio = snr(states.sigma, kind)
            return torch.clamp(ratio, max=self.gamma) / (ratio if kind == "epsilon" else ratio + 1)

        return Weighed(drawing, weight)

    def evaluations(self, settings: Settings) -> tuple[int, int, int]:
        """None."""
        return 0, 0, 0
