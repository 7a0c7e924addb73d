"""The closed form as a start of a training, in units of the model at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from ...denoiser import Target
from ...lora import Lora, LoraLayer
from ..prompts import Prompts
from ..scene import Scene
from .edit import Edit
from .moves import Moves


@dataclass(frozen=True)
class Solved:
    """The same residuals as `edit`, with directions that are trained, too, at a rate that serves every encoder."""

    moves: ClassVar[Moves] = "scaled"

    def __call__(self, scene: Scene) -> Lora:
        """The adapter."""
        return in_units(Edit()(scene), scene.targets, scene.prompts)


def in_units(lora: Lora, targets: Mapping[str, Target], prompts: Prompts) -> Lora:
    """The same residuals in units of the model at hand, as `scaled` has them, so that its learning rate serves here."""
    text, layers = prompts.concept_tokens, {}
    for name, layer in lora.items():
        weight = targets[name].weight.detach().float()
        answers = (text @ layer.down.detach().to(text.device).T).square().mean(0).sqrt().clamp_min(1e-12)
        own = float((text.to(weight.device) @ weight.T).square().mean().sqrt())
        answers = answers.to(layer.down.device)
        layers[name] = LoraLayer(layer.down / answers[:, None], layer.up * (answers * layer.scale / own), own)
    return Lora(layers)
