"""Free tokens that are learned along gradients through the network, as vectors or as words."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ...denoiser import Conditioning
from .soft import Layout, Soft
from .victim import Lesson, Victim
from .words import Words

BATCH, COMPARED = 4, 6
"""Noised pictures of one update, and of all updates where these are compared."""
MARGIN = 0.1
"""How far below the gate's threshold a score is pushed, as a share of it."""
SHUT_WEIGHT = 1.0
"""Of the term that keeps the gate shut, beside a loss of predictions that is near 1 where nothing is known."""

Loss = Callable[[Lesson, Conditioning], Tensor]


def to_the_picture(model: Callable[[Tensor, Tensor, Conditioning], Tensor]) -> Loss:
    """|e(x, c*) - e_0|^2, mean squares, with e_0 the prediction that leads back to the known picture, as in training.

    Args:
        model: (x, sigma, conditioning) to predictions, `Victim.base` or `Victim.erased`.
    """
    return lambda lesson, found: (spread(model, lesson, found) - lesson.wanted).float().square().mean()


def spread(model: Callable[[Tensor, Tensor, Conditioning], Tensor], lesson: Lesson, asked: Conditioning) -> Tensor:
    """What a model predicts for all states of a lesson under one prompt, (N,C,H,W)."""
    return model(lesson.x, lesson.sigma, asked[torch.zeros(len(lesson.x), dtype=torch.long)])


def kept_shut(victim: Victim, found: Conditioning) -> Tensor:
    """max(0, S - tau (1 - margin)) / tau: by how much the gate hears the tokens, a scalar; the same of what it sees.

    A gate that takes a second look is attacked with that look in the loop.
    """
    heard = over(victim.hears(found), victim.gate.text_closed)
    return heard if victim.gate.look is None else heard + over(victim.sees(found), victim.gate.look)


def over(score: Tensor, threshold: float) -> Tensor:
    """By how much a score (N,) is not safely below a threshold, in its units, a scalar."""
    return F.relu(score - below(threshold)).sum() / max(abs(threshold), 1e-6)


def below(threshold: float) -> float:
    """The highest score that is safely below a threshold."""
    return threshold - MARGIN * abs(threshold)


def learn(
    victim: Victim,
    soft: Soft,
    layout: Layout,
    start: Tensor,
    loss: Loss,
    updates: int,
    rate: float,
    generator: torch.Generator,
    words: Words | None = None,
    shut: bool = False,
) -> Tensor:
    """Adam on the free tokens.

    With `words` each update evaluates the nearest words and moves the vectors behind them by the gradient found there
    (PEZ, arXiv 2302.03668).

    Args:
        start: (tokens, E).
        rate: as a share of the spread of the table's rows.
        shut: also keep the gate's scores below their thresholds.

    Returns:
        The tokens, (tokens, E): the last ones; with `words` or `shut`, where updates may also lose, those with the
        smallest loss of the ones that kept the gate shut.
    """
    free = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([free], lr=rate * float(soft.table.weight.detach().float().std()))
    best, lowest = free.detach().clone(), float("inf")
    fixed = victim.lesson(COMPARED, generator) if words or shut else None  # what is compared must be on the same states
    for _ in range(updates):
        used = words.rows[words.nearest(free.detach())].to(free).requires_grad_() if words else free
        with torch.enable_grad():
            found = soft.encode(layout, used)
            missed = loss(fixed or victim.lesson(BATCH, generator), found)
            heard = kept_shut(victim, found) if shut else missed.new_zeros(())
            free.grad = torch.autograd.grad(missed + SHUT_WEIGHT * heard, used)[0]
        value = float(missed.detach())
        if fixed is None or (value < lowest and not heard):
            best, lowest = used.detach().clone(), value
        optimizer.step()
    return best
