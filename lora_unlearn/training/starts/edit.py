"""The closed form: an eraser from text alone, and the whole of instant mode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from ...denoiser import Target
from ...directions import QUIET, enough_factors, louder, loudness, token_edit, tokens, whole
from ...lora import Lora, LoraLayer
from ..prompts import EDIT_PROMPTS, Prompts
from ..scene import Scene
from .moves import Moves
from .reading import check_reads


@dataclass(frozen=True)
class Edit:
    """Every layer maps an edited token c + c M as it would map c + shift, see `closed_form`."""

    moves: ClassVar[Moves] = "fixed"

    def __call__(self, scene: Scene) -> Lora:
        """The adapter."""
        return closed_form(scene.targets, scene.prompts, scene.settings.rank, gamma=scene.settings.repulsion)


def closed_form(targets: Mapping[str, Target], prompts: Prompts, rank: int, gamma: float = 0.0) -> Lora:
    """A LoRA from text embeddings alone, no evaluation of the denoiser: down = the edit's directions, up = W rest.T for
    the layer's own weight W; tokens are taken as the layers hear them.

    Raises:
        UnlearnError: if one of the layers does not read the prompt.
    """
    check_reads(targets, prompts.empty.tensors["text"].shape[-1])
    scale = loudness(target.weight for target in targets.values())
    groups = (*prompts.text_pairs, prompts.keep[:EDIT_PROMPTS], prompts.empty)
    concept, reference, keep, empty = (louder(whole(group), scale) for group in groups)
    edit = token_edit(concept, reference, keep, empty, gamma)
    ears = {name: place.weight.detach().float() for name, place in targets.items()}
    ears = {name: weight / scale.clamp_min(QUIET).to(weight.device) for name, weight in ears.items()}
    down, rest = enough_factors(edit, rank, tokens(concept), ears.values())
    return Lora(
        {
            name: LoraLayer(down * scale.to(down.device), weight @ rest.T.to(weight.device), 1.0)
            for name, weight in ears.items()
        }
    )
