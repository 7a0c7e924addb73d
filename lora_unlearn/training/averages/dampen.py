"""Selective synaptic dampening: what retaining needs more than forgetting does is taken back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...lora import Lora
from ...moments import tokens
from ...options import option
from ...padding import unpadded
from ..scene import Scene


@dataclass(frozen=True)
class Dampen:
    """At the end up <- up * min(1, lambda F_f / F_r), where F are mean squared responses (SSD, arXiv 2308.07707).

    Importance is Fisher's diagonal there; for an adapter's column of up it is how loudly its direction answers the
    concept's tokens (F_f) and the kept prompts' (F_r), which needs no evaluation. Turned round as the adapter is what
    forgets: what answers others is dampened.
    """

    strength: float = option(
        2.0, 1e-3, 1e6, "lambda: directions that the concept answers less than 1 / lambda times as loudly are dampened"
    )

    def begin(self, scene: Scene, lora: Lora) -> Dampening:
        """The average of one training."""
        return Dampening(scene, lora, self.strength)


class Dampening:
    """The average at work: nothing before the end."""

    def __init__(self, scene: Scene, lora: Lora, strength: float) -> None:
        self.scene, self.lora, self.strength = scene, lora, strength

    def update(self) -> None:
        """Nothing to do."""

    @torch.no_grad()
    def finish(self) -> None:
        """Dampen each direction of each layer that reads the text."""
        concept = self.scene.prompts.concept_tokens
        kept = unpadded(tokens(self.scene.prompts.keep))
        for _, layer in self.lora.items():
            if layer.down.shape[1] == concept.shape[1]:
                factor = self.strength * answered(concept, layer.down) / answered(kept, layer.down).clamp_min(1e-12)
                layer.up.mul_(factor.clamp_max(1.0))


def answered(text: Tensor, down: Tensor) -> Tensor:
    """Mean square of what tokens (tokens, width) get from each direction (rank, width): (rank,)."""
    return (text.to(down) @ down.T).square().mean(0)
