"""Adversarial training: the adapter is asked what brings the concept back most, not only its plain prompts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...denoiser import Conditioning
from ...lora import Lora
from ...options import option
from ...settings import Settings
from ..scene import Scene
from ..states import States
from .drawing import Drawing


@dataclass(frozen=True)
class Adversarial:
    """In every other update c is c + d, with d moved against the eraser for some steps (AdvUnlearn, arXiv 2405.15234).

    The attack minimises |e_lora(x, c + d) - e(x, c)|^2 by steps along the gradient's sign, within `radius` of each
    component's spread; the eraser then meets its target under it. AdvUnlearn learns one prefix token and trains the
    text encoder; here all tokens may move, and the attention's layers are trained.
    """

    steps: int = option(3, 1, 100, "steps of the attack")
    radius: float = option(0.3, 0, 100, "how far a token may move, in units of each component's spread over the tokens")

    def wrap(self, scene: Scene, drawing: Drawing) -> Attacked:
        """The drawing of one training."""
        return Attacked(scene, drawing, self.steps, self.radius)

    def evaluations(self, settings: Settings) -> tuple[int, int, int]:
        """The attack's steps with gradients, in every other update."""
        return 0, 0, (self.steps + 1) // 2


class Attacked:
    """A drawing that asks under attack in every other update."""

    def __init__(self, scene: Scene, inner: Drawing, steps: int, radius: float) -> None:
        self.scene, self.inner, self.steps, self.radius, self.drawn = scene, inner, steps, radius, 0
        self.held: States | None = inner.held

    def draw(self, lora: Lora, count: int) -> States:
        """The inner drawing's states; what is asked may have been moved."""
        states = self.inner.draw(lora, count)
        self.drawn += 1
        if self.drawn % 2 or states.asked is None:
            return states
        return replace(states, asked=self._attacked(lora, states, states.asked))

    def _attacked(self, lora: Lora, states: States, asked: Conditioning) -> Conditioning:
        given = asked.given.detach()
        spread, said = token_spread(asked)
        room = self.radius * spread * said
        shift = torch.zeros_like(given, dtype=torch.float32)
        for _ in range(self.steps):
            gradient = self._slope(lora, states, asked, given, shift)
            shift = (shift - 2 * room / self.steps * gradient.sign()).clamp(-room, room)
        return asked.giving((given + shift).to(given))

    def _slope(self, lora: Lora, states: States, asked: Conditioning, given: Tensor, shift: Tensor) -> Tensor:
        """The gradient of |e_lora(x, c + d) - e(x, c)|^2 for d, like what is given."""
        moved = shift.clone().requires_grad_()
        attacked = asked.giving((given + moved).to(given.dtype))
        change = self.scene.adapted(lora, states.x, states.sigma, attacked) - states.target
        return torch.autograd.grad(change.float().square().mean(), moved)[0]


def token_spread(asked: Conditioning) -> tuple[Tensor, Tensor]:
    """Each component's spread over the tokens of rows (R,T,...), and which tokens are no zero padding, (R,T,1...).

    The standard deviation; where a language model reads the prompt the median deviation in its place, as the first of
    its tokens, the attention's sink, is larger than all others together.
    """
    given = asked.given.detach().float()
    said = (given.flatten(2) != 0).any(dim=2).view(*given.shape[:2], *[1] * (given.ndim - 2))
    if "states" not in asked.tensors:
        return given.flatten(0, 1).std(0), said.float()
    tokens = given[said.flatten(2)[..., 0]]
    return 1.4826 * (tokens - tokens.median(0).values).abs().median(0).values, said.float()
