"""Random directions in units of the model at hand, so that one learning rate serves every encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from ... import directions
from ...directions import loudness
from ...lora import Lora, LoraLayer
from ...moments import tokens
from ..scene import Scene
from .moves import Moves
from .reading import check_reads, gram_of


@dataclass(frozen=True)
class Scaled:
    """Each layer's directions answer the concept's tokens with a root mean square of about 1, and its scale is the root
    mean square of what the layer itself makes of them; up = 0.
    """

    moves: ClassVar[Moves] = "scaled"

    def __call__(self, scene: Scene) -> Lora:
        """The adapter."""
        return drawn(scene, directions.Anywhere(scene.prompts.concept_tokens))


@dataclass(frozen=True)
class Selective:
    """The same, with directions that hardly answer other prompts, see `lora_unlearn.directions.Selective`."""

    moves: ClassVar[Moves] = "scaled"

    def __call__(self, scene: Scene) -> Lora:
        """The adapter."""
        scale = loudness(gram_of(scene.targets).diagonal())
        return drawn(scene, directions.Selective(scene.prompts.concept_tokens, tokens(scene.prompts.keep), scale))


def drawn(scene: Scene, ways: directions.Anywhere | directions.Selective) -> Lora:
    """An adapter of directions that are drawn in some way.

    Raises:
        UnlearnError: if one of the layers does not read the prompt.
    """
    text, layers = scene.prompts.concept_tokens, {}
    check_reads(scene.targets, text.shape[1])
    for name, target in scene.targets.items():
        weight = target.weight.detach().float()
        down = ways.draw(scene.settings.rank, scene.generator)
        own = float((text.to(weight.device) @ weight.T).square().mean().sqrt())
        up = torch.zeros(weight.shape[0], len(down), device=weight.device)
        layers[name] = LoraLayer(down.to(weight.device), up, own)
    return Lora(layers)
