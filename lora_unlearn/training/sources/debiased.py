"""Debiased weights: what is decided at high noise counts more."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...lora import Lora
from ...settings import Settings
from ..scene import Scene
from ..states import States
from .drawing import Drawing
from .weighed import Weighed, snr


@dataclass(frozen=True)
class Debiased:
    """w = 1 / sqrt(SNR) (arXiv 2310.08442)."""

    def wrap(self, scene: Scene, drawing: Drawing) -> Weighed:
        """The drawing of one training."""
        kind = scene.denoiser.prediction_type

        def weight(lora: Lora, states: States) -> Tensor:
            return snr(states.sigma, kind).rsqrt()

        return Weighed(drawing, weight)

    def evaluations(self, settings: Settings) -> tuple[int, int, int]:
        """None."""
        return 0, 0, 0
