"""How strong does an eraser have to be? The smallest strength that still takes every sentence to what takes its place.

An eraser's target lies beyond its replacement (by gamma), so that less than its whole strength may do, which harms a
picture less; offered, never forced. In the manner of choosing the smallest interpolation of two models that still mends
what it is for (BCWI).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from .adapter import Adapter
from .denoiser import Denoiser
from .training.prompts import encode
from .training.states import States, record

ASKED, STEPS = 24, 4
"""Sentences that are asked, and states on the way of each."""
SLOWEST = 0.9
"""The share of the sentences for which the strength has to do; some hardly draw the concept, and never settle."""
MOST = 2.0
STEP = 0.05


@torch.no_grad()
def needed(denoiser: Denoiser, adapter: Adapter, ordinary: Sequence[str], seed: int = 0) -> float:
    """The smallest strength, in steps of 0.05 and 2 at most, at which the concept has become what takes its place.

    For each sentence the matched filter r = <D, e_r - e_c> / |e_r - e_c|^2 of the adapter's change D in states on the
    frozen model's way to it; strength 1 / r reaches the replacement. The largest of the easier `SLOWEST` of them is
    taken. Costs `ASKED` * `STEPS` * 4 evaluations.

    Args:
        adapter: a finished eraser.
        ordinary: prompts of other things, beside which the concept is put.
    """
    concept = replace(adapter.concept, replace_with=adapter.instead)
    prompts = encode(denoiser, concept, list(ordinary[:ASKED])).practised()
    count = min(ASKED, len(prompts.target))
    generator = torch.Generator().manual_seed(seed)
    parts = prompts.target[:count], prompts.reference[:count], prompts.empty
    states = record(denoiser, *parts, count, STEPS, adapter.settings.guidance_scale, generator, False)
    targets = denoiser.linears(adapter.settings.selector)
    with adapter.lora.attached(targets), adapter.lora.rows(torch.ones(1)):
        changed = denoiser.predict(states.x, states.sigma, prompts.target[states.row])
    reached = torch.tensor([_reached(states, changed, row) for row in range(count)]).clamp_min(1e-3)
    slowest = float((1 / reached).quantile(SLOWEST))
    return min(MOST, max(STEP, -(-slowest // STEP) * STEP))


def _reached(states: States, changed: Tensor, row: int) -> float:
    """The share of the way to its replacement that one sentence has gone at strength 1."""
    own = states.row == row
    wanted = (states.reference - states.target)[own].float()
    change = (changed - states.target)[own].float()
    return float((change * wanted).sum() / wanted.square().sum().clamp_min(1e-12))
