"""Targets for the adapted model's prediction of the concept's prompt."""

from __future__ import annotations

from torch import Tensor


def unguide(target: Tensor, reference: Tensor, empty: Tensor, gamma: float) -> Tensor:
    """e_ref - gamma * (e_target - e_ref): past the reference, away from the concept (arXiv 2508.05755)."""
    return reference - gamma * (target - reference)


def redirect(target: Tensor, reference: Tensor, empty: Tensor, gamma: float) -> Tensor:
    """The reference's own prediction, no repulsion (the score part of arXiv 2409.11219); gamma is not used."""
    return reference


def surgical(target: Tensor, reference: Tensor, empty: Tensor, gamma: float) -> Tensor:
    """The guidance term alone is turned round, the unconditional score stays (arXiv 2312.12807)."""
    return empty - gamma * (target - empty) + (reference - empty)
