"""SLUG: one gradient, one layer, and a strength that is searched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...activations import scaled_backward
from ...lora import Lora, LoraLayer
from ...options import option
from ..scene import Scene
from ..sources.recorded import Recorded
from ..states import States
from ..terms import Goal, Retain
from ..terms.goal import asked, goal_of
from .moves import Moves


@dataclass(frozen=True)
class Slug:
    """dW_l = -s grad_l L_f for the layer with the largest importance that conflicts least (arXiv 2407.11867).

    Importance |grad_l L_f| / |W_l|, conflict |cos(grad_l L_f, grad_l L_r)|; s is the strength at which the
    concept is nearest to its target. Gradients are of the erasing and the retaining term on all recorded states,
    and the update is kept at the settings' rank.
    """

    layers: int = option(1, 1, 10_000, "how many of the layers are edited, the best ones first")
    moves: ClassVar[Moves] = "fixed"

    def __call__(self, scene: Scene) -> Lora:
        """The adapter."""
        drawing = Recorded().begin(scene, lambda progress: None, lambda: False)
        states = drawing.draw(_whole(scene), len(drawing.states))
        forget, retain = (_slopes(scene, states, term.begin(scene)) for term in (Goal(), Retain()))
        best = sorted(forget, key=lambda name: _merit(scene, name, forget, retain), reverse=True)[: self.layers]
        low = {name: _factors(-forget[name], scene.settings.rank) for name in best}
        unit = min(float(scene.targets[n].weight.float().norm() / forget[n].norm().clamp_min(1e-12)) for n in best)
        return _strongest(scene, low, states, unit)


def _whole(scene: Scene) -> Lora:
    """An adapter that can become any change of the weights: down = 1, up = 0."""
    layers = {}
    for name, target in scene.targets.items():
        out, width = target.shape
        layers[name] = LoraLayer(torch.eye(width, device=target.device), torch.zeros(out, width), 1.0)
    return Lora(layers)


def _slopes(scene: Scene, states: States, loss: Callable[[Lora, States], Tensor]) -> dict[str, Tensor]:
    """The gradient (out, in) of a loss for each layer's weight, a batch at a time."""
    lora, count = _whole(scene), scene.settings.batch
    ups = {name: layer.up for name, layer in lora.items()}
    found = {name: torch.zeros_like(up) for name, up in ups.items()}
    with lora.attached(scene.targets), torch.enable_grad():
        lora.layers.to(next(iter(scene.targets.values())).device)
        for start in range(0, len(states), count):
            part = torch.arange(start, min(start + count, len(states)))
            scaled_backward(loss(lora, states[part]), list(ups.values()))
            for name, up in ups.items():
                found[name] += 0 if up.grad is None else up.grad.to(found[name])
                up.grad = None
    return found


def _merit(scene: Scene, name: str, forget: dict[str, Tensor], retain: dict[str, Tensor]) -> float:
    """Importance without the part that conflicts."""
    f, r = forget[name].flatten(), retain[name].to(forget[name]).flatten()
    importance = f.norm() / scene.targets[name].weight.float().norm().clamp_min(1e-12).to(f)
    return float(importance * (1 - torch.nn.functional.cosine_similarity(f, r, dim=0).abs()))


def _factors(change: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """down (rank, in) and up (out, rank) of the best approximation of a change (out, in)."""
    left, values, right = torch.linalg.svd(change, full_matrices=False)
    return right[:rank], left[:, :rank] * values[:rank]


def _strongest(scene: Scene, low: dict[str, tuple[Tensor, Tensor]], states: States, unit: float) -> Lora:
    """The strength, of a geometric series around a tenth of the weights' own size, at which the target is met best."""
    tried = [unit / 10 * 0.5**step for step in range(-4, 10)]
    held = states[torch.arange(0, len(states), max(1, len(states) // scene.settings.batch))]

    def made(strength: float) -> Lora:
        return Lora({name: LoraLayer(down, strength * up, 1.0) for name, (down, up) in low.items()})

    @torch.no_grad()
    def missed(strength: float) -> float:
        with (lora := made(strength)).attached({name: scene.targets[name] for name in low}):
            return float((asked(scene, lora, held) - goal_of(scene, held)).square().mean())

    return made(min(tried, key=missed))
