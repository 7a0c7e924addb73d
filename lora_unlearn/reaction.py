"""Does the model draw the concept at all? Asked of the first recorded states, before anything is trained on them.

In pure noise a prompt that means something to the model pulls the prediction its own way at once; a word that it never
learnt, or has unlearnt, hardly does. How hard is told from what ordinary prompts do in the same noise.
"""

from __future__ import annotations

import torch

from .denoiser import Conditioning, Denoiser
from .errors import UnlearnError
from .training.states import States

LEAST_REACTION = 0.06
"""Below this reaction there is nothing to erase, see `docs/experiments.md`."""


@torch.no_grad()
def reaction(denoiser: Denoiser, ordinary: Conditioning, states: States, count: int) -> tuple[float, float]:
    """How hard the concept pulls in pure noise, 1 being what ordinary prompts do; costs `count` evaluations.

    The means of |e(c) - e(0)|^2 and of |e(c) - e(r)|^2 over that of |e(k) - e(0)|^2, for the concept's prompts c, their
    references r and ordinary prompts k.

    Args:
        denoiser: the frozen model.
        ordinary: prompts of other things, of which `count` are used.
        states: as recorded; the first `count` are the trajectories' starts.
    """
    start = states[torch.arange(count)]
    chosen = torch.linspace(0, len(ordinary) - 1, count).long()
    usual = energy(denoiser.predict(start.x, start.sigma, ordinary[chosen]) - start.empty)
    pull, difference = energy(start.target - start.empty), energy(start.target - start.reference)
    return pull / max(usual, 1e-12), difference / max(usual, 1e-12)


def check_reaction(denoiser: Denoiser, ordinary: Conditioning, states: States, count: int) -> None:
    """Refuse to erase what the model does not draw.

    Raises:
        UnlearnError: saying how little the model reacts, or tells the concept from its reference.
    """
    pull, difference = reaction(denoiser, ordinary, states, count)
    if pull < LEAST_REACTION:
        raise UnlearnError(
            f"There is nothing to erase: the model hardly reacts to the concept ({100 * pull:.0f} % of what it does "
            "for other prompts). It may not know the word, or have it erased already; name what you see by the words "
            "that make the model draw it."
        )
    if difference < LEAST_REACTION:
        raise UnlearnError(
            "There is nothing to erase: to the model, the concept hardly differs from what takes its place "
            f"({100 * difference:.0f} % of what other prompts do). It may not know the word, or have it erased already."
        )


def energy(change: torch.Tensor) -> float:
    """The mean square of a change (B,C,H,W)."""
    return float(change.float().square().mean())
