"""What starts from text have in common: they suit layers that read it, and know the concept's own token."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ...denoiser import Target
from ...errors import UnlearnError
from ...pairs import pairs
from ..prompts import Prompts


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
