"""What starts from text have in common: they suit layers that read it, and know the concept's own token."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ...denoiser import Target, once
from ...directions import energy, enough_factors, gram
from ...errors import UnlearnError
from ...lora import Lora, LoraLayer
from ...pairs import pairs
from ..prompts import Prompts
from ..scene import Scene


def check_reads(targets: Mapping[str, Target], width: int) -> None:
    """Refuse layers whose input is not the prompt's text, `width` wide.

    Raises:
        UnlearnError: naming the first.
    """
    for name, target in targets.items():
        if target.shape[1] != width:
            raise UnlearnError(f"{name} does not read the prompt; use random directions for such layers (paper mode).")


def subjects(prompts: Prompts) -> tuple[Tensor, Tensor]:
    """The token of each target prompt that says what it is about, and the one in its place: (pairs, width) twice.

    The token that differs most from the reference's at the same place; published closed forms take the subject's last
    token, which no host can tell from a tokenizer that we do not know.
    """
    found = []
    for text, other in pairs(prompts.target, prompts.reference):
        place = (text - other).norm(dim=1).argmax()
        found.append((text[place], other[place]))
    return torch.stack([text for text, _ in found]), torch.stack([other for _, other in found])


def realised(scene: Scene, edit: Tensor, text: Tensor) -> Lora:
    """An edit (width, width) of the concept's tokens (tokens, width) in front of every layer, as an adapter."""
    metric = once(scene.denoiser, f"gram {scene.settings.selector}", lambda: gram_of(scene.targets))
    down, rest = enough_factors(edit, scene.settings.rank, energy(text), metric)
    weights = {name: target.weight.detach().float() for name, target in scene.targets.items()}
    return Lora({name: LoraLayer(down, own @ rest.T.to(own.device), 1.0) for name, own in weights.items()})


def gram_of(targets: Mapping[str, Target]) -> Tensor:
    """The `gram` of some layers' weights, (width, width)."""
    return gram(target.weight for target in targets.values())
