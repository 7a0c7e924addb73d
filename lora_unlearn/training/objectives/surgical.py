"""All but One: the guidance term alone is turned round."""

from __future__ import annotations

from torch import Tensor

from ..states import States


def surgical(states: States, gamma: float) -> Tensor:
    """e_0 + (e_ref - e_0) - gamma * (e_target - e_0), (N,C,H,W): the unconditional score stays (arXiv 2312.12807)."""
    return states.empty - gamma * (states.target - states.empty) + (states.reference - states.empty)
