"""LECO: the reference, pushed by what the concept adds to the empty prompt."""

from __future__ import annotations

from torch import Tensor

from ..states import States


def leco(states: States, gamma: float) -> Tensor:
    """e_ref - gamma * (e_target - e_0), (N,C,H,W), as github.com/p1atdev/LECO's "erase" has it (neutral, positive,
    unconditional).
    """
    return states.reference - gamma * (states.target - states.empty)
