"""Prompts among the ordinary ones that ask for the concept by another name: they are nothing that must stay.

A bank that says "a photo of a toad" would otherwise hold a closed form back from what the model draws as a frog, and
which of its prompts shape an eraser would decide what is left of the concept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from .concept import Concept
from .denoiser import Conditioning, Denoiser
from .directions import fisher, heard
from .gate import kappa
from .moments import Moments, summed
from .replacement import MOST_ALIKE, InNoise, strongest
from .training.prompts import Prompts

NEAR = 1 / 3
"""How far a prompt's strongest token must have gone from the usual prompt's answer to the concept's own."""
MOST = 4
"""How many of them the network is asked about; on an encoder that tells things apart there are hardly more."""


@torch.no_grad()
def without_namesakes(denoiser: Denoiser, concept: Concept, prompts: Prompts) -> Prompts:
    """The prompts of a training without those to keep that text encoder and network both take for the concept.

    The text's witness is Fisher's direction, as the gate's; the network is asked about what that finds, in eight
    states of noise each. What the user keeps stays, and so does everything beside a style or an attribute.
    """
    own = len(concept.kept())
    if concept.is_manner or own == len(prompts.kept):
        return prompts
    found = [own + row for row in _near(denoiser, prompts, prompts.kept[own:], prompts.keep[own:])]
    if not found:
        return prompts
    alike = _alike(denoiser, concept, prompts.keep[found])
    names = {row for row, same in zip(found, alike, strict=True) if same}
    rest = [row for row in range(len(prompts.kept)) if row not in names]
    return replace(prompts, keep=prompts.keep[rest], kept=tuple(prompts.kept[row] for row in rest))


def _near(denoiser: Denoiser, prompts: Prompts, words: Sequence[str], keep: Conditioning) -> list[int]:
    """The rows of the kept prompts that the text encoder puts near the concept, the nearest ones."""
    others = summed(denoiser, words, encoded=keep)
    direction = fisher(Moments().add(prompts.target), others, scale=heard(denoiser, len(others.mean)))
    usual, own = (strongest(group, direction) for group in (keep, prompts.target))
    level = usual.median() + NEAR * (own.median() - usual.median())
    return [row for row in usual.argsort(descending=True)[:MOST].tolist() if usual[row] >= level]


def _alike(denoiser: Denoiser, concept: Concept, rows: Conditioning) -> list[bool]:
    """Whether the network draws the same for each row as for the concept."""
    asked = InNoise(denoiser)
    own, blank = (asked(denoiser.encode([prompt])) for prompt in (concept.probe, ""))
    return [bool(kappa(asked(rows[[row]]), own, blank).mean() > MOST_ALIKE) for row in range(len(rows))]
