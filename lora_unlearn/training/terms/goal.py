"""The term that erases: the adapted prediction for what is asked meets the objective's target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ...lora import Lora
from ..objectives import objective_of
from ..scene import Scene
from ..states import States


@dataclass(frozen=True)
class Goal:
    """mean w |e_lora(x, asked) - goal|^2, with the states' weights w."""

    def begin(self, scene: Scene) -> Callable[[Lora, States], Tensor]:
        """The loss of one training."""
        return lambda lora, states: goal_loss(scene, lora, states)

    def evaluations(self) -> tuple[int, int]:
        """One with gradients."""
        return 0, 1


def goal_of(scene: Scene, states: States) -> Tensor:
    """What the adapted model should predict (N,C,H,W)."""
    return objective_of(scene.settings)(states, scene.settings.gamma)


def goal_loss(scene: Scene, lora: Lora, states: States) -> Tensor:
    """The loss, a scalar."""
    error = (asked(scene, lora, states).float() - goal_of(scene, states).float()).square()
    return error.mean() if states.weight is None else (spread(states.weight, error) * error).mean()


def asked(scene: Scene, lora: Lora, states: States) -> Tensor:
    """The adapted prediction for what the states ask (N,C,H,W)."""
    conditioning = scene.prompts.target[states.row] if states.asked is None else states.asked
    return scene.adapted(lora, states.x, states.sigma, conditioning)


def spread(weight: Tensor, like: Tensor) -> Tensor:
    """Weights (N,) in the shape of N states, on their device."""
    return weight.to(like).view(-1, *[1] * (like.ndim - 1))
