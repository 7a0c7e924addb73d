"""ESD: guidance away from the concept, started at the empty prompt."""

from __future__ import annotations

from torch import Tensor

from ..states import States


def esd(states: States, gamma: float) -> Tensor:
    """e_0 - gamma * (e_target - e_0), (N,C,H,W); the paper calls gamma eta (arXiv 2303.07345, equation 6)."""
    return states.empty - gamma * (states.target - states.empty)
