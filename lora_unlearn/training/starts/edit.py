"""The closed form: an eraser from text alone, and the whole of instant mode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ...denoiser import Target, once
from ...directions import QUIET, energy, enough_factors, louder, loudness, said, token_edit, whole
from ...lora import Lora, LoraLayer
from ...moments import summed
from ..prompts import EDIT_PROMPTS, Prompts
from ..scene import Scene
from .moves import Moves
from .reading import check_reads, gram_of


@dataclass(frozen=True)
class Edit:
    """Every layer maps an edited token c + c M as it would map c + shift, see `closed_form`."""

    moves: ClassVar[Moves] = "fixed"

    def __call__(self, scene: Scene) -> Lora:
        """The adapter; the layers' metric and the kept prompts' sums are made once for all concepts of a list."""
        denoiser, settings, prompts = scene.denoiser, scene.settings, scene.prompts
        check_reads(scene.targets, prompts.empty.tensors["text"].shape[-1])
        metric = once(denoiser, f"gram {settings.selector}", lambda: gram_of(scene.targets))
        found = summed(denoiser, prompts.kept[:EDIT_PROMPTS], encoded=prompts.keep[:EDIT_PROMPTS])
        kept = found.outer / max(1.0, found.count)
        return closed_form(scene.targets, prompts, settings.rank, settings.repulsion, kept, metric)


def closed_form(
    targets: Mapping[str, Target],
    prompts: Prompts,
    rank: int,
    gamma: float = 0.0,
    kept: Tensor | None = None,
    metric: Tensor | None = None,
) -> Lora:
    """A LoRA from text embeddings alone, no evaluation of the denoiser: down = the edit's directions, up = W rest.T for
    the layer's own weight W; tokens are taken as the layers hear them.

    Args:
        kept: the energy of the kept prompts' tokens, (width, width); None: it is summed now.
        metric: the layers' `gram`; None: likewise.

    Raises:
        UnlearnError: if one of the layers does not read the prompt.
    """
    check_reads(targets, prompts.empty.tensors["text"].shape[-1])
    metric = gram_of(targets) if metric is None else metric
    kept = energy(said(whole(prompts.keep[:EDIT_PROMPTS]))) if kept is None else kept
    scale = loudness(metric.diagonal())
    blank = whole(prompts.empty, ("before", "text", "after"))
    concept, reference, empty = (louder(group, scale) for group in (*map(whole, prompts.text_pairs), blank))
    own_scale = scale.to(kept)
    edit, own = token_edit(concept, reference, own_scale[:, None] * kept * own_scale, empty, gamma)
    ears = scale.clamp_min(QUIET)
    down, rest = enough_factors(edit, rank, own, metric / ears[:, None] / ears)
    heard_rest = (rest / ears.to(rest)).T
    return Lora(
        {
            name: LoraLayer(
                down * scale.to(down), place.weight.detach().float() @ heard_rest.to(place.weight.device), 1.0
            )
            for name, place in targets.items()
        }
    )
