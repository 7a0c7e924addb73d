"""UnGuide: past the reference, away from the concept."""

from __future__ import annotations

from torch import Tensor

from ..states import States


def unguide(states: States, gamma: float) -> Tensor:
    """e_ref - gamma * (e_target - e_ref), (N,C,H,W) (arXiv 2508.05755)."""
    return states.reference - gamma * (states.target - states.reference)
