"""Score forgetting: the concept becomes its reference, and nothing is pushed."""

from __future__ import annotations

from torch import Tensor

from ..states import States


def redirect(states: States, gamma: float) -> Tensor:
    """e_ref, (N,C,H,W): the score part of score forgetting distillation (arXiv 2409.11219); gamma is not used."""
    return states.reference
