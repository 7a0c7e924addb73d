"""SPM's latent anchoring: random texts that are unlike the concept keep their predictions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...lora import Lora
from ...options import option
from ..scene import Scene
from ..states import States

LEAST, MOST = 0.8, 1.2
"""The norms of the random texts, the concept's being 1."""


@dataclass(frozen=True)
class Anchors:
    """weight * mean |e_lora(x, a) - e(x, a)|^2 for Gaussian texts a (arXiv 2312.16145).

    A text has the concept's norm times 0.8 to 1.2 and is accepted with probability 1 - cos(a, c), anew for every state.
    """

    weight: float = option(1.0, 0, 1e6, "how much the random texts' predictions count")

    def begin(self, scene: Scene) -> Callable[[Lora, States], Tensor]:
        """The loss of one training."""

        def loss(lora: Lora, states: States) -> Tensor:
            like = states.asked if states.asked is not None else scene.prompts.target[states.row]
            text = drawn(like.tensors["text"], scene.generator)
            return self.weight * scene.disturbed(lora, states.x, states.sigma, like.reading(text))

        return loss

    def evaluations(self) -> tuple[int, int]:
        """One without gradients and one with."""
        return 1, 1


def drawn(like: Tensor, generator: torch.Generator) -> Tensor:
    """Random texts like the given ones (N,L,D): accepted row by row, the most unlike of some tries where none is."""
    flat = like.flatten(1).float()
    tries = torch.randn(8, *flat.shape, generator=generator).to(flat)
    cosine = torch.nn.functional.cosine_similarity(tries, flat[None], dim=2)
    accepted = torch.rand(cosine.shape, generator=generator).to(cosine) < 1 - cosine
    first = torch.where(accepted.any(0), accepted.float().argmax(0), cosine.argmin(0))
    found = tries[first, torch.arange(len(flat), device=flat.device)]
    size = LEAST + (MOST - LEAST) * torch.rand(len(flat), generator=generator).to(flat)
    scale = size * flat.norm(dim=1) / found.norm(dim=1).clamp_min(1e-12)
    return (found * scale[:, None]).view_as(like).to(like)
