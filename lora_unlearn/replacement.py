"""What takes a concept's place where the user names nothing: the nearest thing that is not the concept.

A cat that becomes a dog is a small change to the model, and a clean picture; the empty prompt's mean of everything is
neither (see `docs/experiments.md`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .bank import PLAIN
from .calibrate import CHUNK
from .concept import Concept, is_style
from .denoiser import Conditioning, Denoiser
from .directions import Moments, fisher, heard, louder
from .gate import kappa
from .reaction import energy

NEUTRAL = "thing"
"""Where no noun of the bank would do."""
ASKED = 32
"""How many of the nearest nouns the network is asked about at most."""
NOISES = 2
LEAST_PULL, MOST_ALIKE = 0.8, 0.5
"""How hard the network must react to a noun, the concept being 1, and the cosine of the two reactions from which up it
draws the same for both (a tugboat for a boat)."""
LONGEST = 2
"""Words that a replacement may have."""


@torch.no_grad()
def nearest(denoiser: Denoiser, concept: Concept, bank: Sequence[str], seed: int = 0) -> str:
    """The noun nearest to the concept that the model draws, and draws otherwise.

    The bank's plain nouns are asked in the order in which the text encoder puts them; the first that the network reacts
    to at least `LEAST_PULL` times as hard as to the concept, and in another direction, is taken. Costs `NOISES`
    evaluations for each noun asked, and as many for the concept and for the empty prompt.

    Args:
        bank: ordinary prompts without the concept.
        seed: of the pure noise that the network is asked in.

    Returns:
        A word; empty for a style and for an attribute, whose reference is the same sentence without it, and where not
        even a neutral word would do: then the empty prompt takes the concept's place.
    """
    if is_style(concept.name) or concept.of:
        return ""
    x = denoiser.initial_noise(NOISES, torch.Generator().manual_seed(seed))
    sigma = denoiser.sigmas(2)[0].expand(NOISES).to(x.device)

    def asked(prompt: str) -> Tensor:
        return denoiser.predict(x, sigma, denoiser.encode([prompt])[[0] * NOISES])

    blank, own = asked(""), asked(concept.probe)
    for noun in by_nearness(denoiser, concept, bank)[:ASKED]:
        found = asked(f"{PLAIN} {noun}")
        pull = energy(found - blank) / max(energy(own - blank), 1e-12)
        if pull >= LEAST_PULL and float(kappa(found, own, blank).mean()) <= MOST_ALIKE:
            return noun
    neutral = float(kappa(asked(f"{PLAIN} {NEUTRAL}"), own, blank).mean())
    return NEUTRAL if neutral <= MOST_ALIKE else ""


def by_nearness(denoiser: Denoiser, concept: Concept, bank: Sequence[str]) -> list[str]:
    """The bank's plain nouns, nearest to the concept first, without its other names.

    Nearness is the cosine of mean token embeddings in "a photo of a ...", taken from their mean. Words that respond to
    the concept's direction (Fisher's, as the gate's) more than halfway as the concept does are other names for it.
    """
    nouns = [noun for noun in plain_nouns(bank) if noun not in concept.words]
    if not nouns:
        return []
    texts = [
        denoiser.encode([f"{PLAIN} {noun}" for noun in nouns[start : start + CHUNK]])
        for start in range(0, len(nouns), CHUNK)
    ]
    others = Moments().add(denoiser.encode([""]))
    for text in texts:
        others.add(text)
    target = denoiser.encode([prompt for prompt, _ in concept.pairs()])
    scale = heard(denoiser, len(others.mean))
    direction = fisher(Moments().add(target), others, scale=scale)
    named = denoiser.encode([f"{PLAIN} {word}" for word in concept.words])
    own = _strongest(named, direction).mean()
    found = torch.cat([_strongest(text, direction) for text in texts])
    means = torch.cat([_mean(louder(text, scale)) for text in texts])
    centre = means.mean(0)
    close = torch.nn.functional.cosine_similarity(means - centre, _mean(louder(named, scale)).mean(0) - centre, dim=1)
    other = found <= (found.median() + own) / 2
    return [nouns[i] for i in close.argsort(descending=True).tolist() if other[i]]


def plain_nouns(bank: Sequence[str]) -> list[str]:
    """The X of prompts "a photo of a X" that say nothing more."""
    starts = (f"{PLAIN}n ", f"{PLAIN} ")
    rests = (prompt.removeprefix(start) for prompt in bank for start in starts if prompt.startswith(start))
    return list(dict.fromkeys(rest for rest in rests if 0 < len(rest.split()) <= LONGEST))


def _strongest(text: Conditioning, direction: Tensor) -> Tensor:
    """The largest response of any token to a direction, (N,)."""
    return (text.tensors["text"].float() @ direction).amax(dim=1)


def _mean(text: Conditioning) -> Tensor:
    """Mean token embeddings (N,width); tokens that are zero are padding."""
    states = text.tensors["text"].float()
    read = (states != 0).any(dim=-1, keepdim=True)
    return (states * read).sum(1) / read.sum(1).clamp_min(1)
