"""What takes a concept's place where the user names nothing: the nearest thing that is not the concept.

A cat that becomes a dog is a small change to the model, and a clean picture; the empty prompt's mean of everything is
neither (see `docs/experiments.md`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from .bank import PLAIN, without_concept
from .concept import Concept
from .denoiser import CHUNK, Conditioning, Denoiser
from .directions import fisher, heard
from .gate import kappa
from .moments import Moments, means, summed
from .padding import is_padding
from .reaction import energy

NEUTRAL = "thing"
"""Where no noun of the bank would do."""
ASKED = 32
"""How many of the nearest nouns the network is asked about at most."""
SCREENED, NOISES, SEED = 2, 8, 0
"""States of pure noise in which every noun is asked, and those that seem to do once more; the noise's own seed."""
LEAST_PULL, MOST_ALIKE = 0.8, 0.5
"""How hard the network must react to a noun, the concept being 1, and the cosine of the two reactions from which up it
draws the same for both (a tugboat for a boat)."""
LENIENT = 0.15
"""How far a noun may miss either in a few states, where chance is large."""
UNLIKE = 0.1
"""What a noun loses of its nearness (a cosine) for the square of the logarithm of how hard the network reacts to it: a
star in place of a cat is drawn with another force."""
LONGEST = 2
"""Words that a replacement may have."""


class Neighbours(NamedTuple):
    """The things nearest to a concept.

    Attributes:
        instead: the nearest that the concept does not `avoid`, to take its place.
        nearest: the nearest of all, whose prompts the gate must leave alone.
    """

    instead: str
    nearest: str


@torch.no_grad()
def neighbours(denoiser: Denoiser, concept: Concept, bank: Sequence[str]) -> Neighbours:
    """The nouns nearest to the concept, to text encoder and network, that the model draws, and draws otherwise.

    The bank's plain nouns are asked in the order in which the text encoder puts them. One will do if the network reacts
    to it at least `LEAST_PULL` times as hard as to the concept, and in another direction; its nearness is the text
    encoder's less what its force differs from the concept's (`UNLIKE`). No noun is asked that could not be nearer than
    the nearest so far. What the concept avoids does not take its place under another name either: a noun for which the
    network draws the avoided concept that the text encoder puts nearest to it (a doghouse, for a model that draws a
    dog). Costs `SCREENED` evaluations for each noun asked, and `NOISES` for the concept, for the empty prompt, for each
    noun that seems to do, and for each that is held against what is avoided, twice.

    Args:
        bank: ordinary prompts without the concept.

    Returns:
        Two words, mostly one and the same. Empty for a style and for an attribute, whose reference is the same sentence
        without it; the first also where not even a neutral word would do: then the empty prompt takes its place.
    """
    if concept.is_manner:
        return Neighbours("", "")
    asked = InNoise(denoiser)

    def reaction(word: str, count: int) -> tuple[float, float]:
        """How hard the network reacts, the concept being 1, and how alike."""
        found, blank_, own_ = asked(denoiser.encode([f"{PLAIN} {word}"]), count), blank[:count], own[:count]
        pull = energy(found - blank_) / max(energy(own_ - blank_), 1e-12)
        return pull, float(kappa(found, own_, blank_).mean())

    def pull(noun: str, count: int, lenient: float = 0.0) -> float:
        """How hard the network reacts to a noun that will do; 0 to another."""
        found, alike = reaction(noun, count)
        return found if found >= LEAST_PULL - lenient and alike <= MOST_ALIKE + lenient else 0.0

    @cache
    def unlike(noun: str) -> float:
        """What a noun loses of its nearness."""
        found = pull(noun, SCREENED, LENIENT) and pull(noun, NOISES)
        return UNLIKE * math.log(found) ** 2 if found else math.inf

    def taken(noun: str) -> bool:
        return bool(concept.avoid) and drawn_as_one_of(asked, blank, noun, concept.avoid)

    def first(nouns: Sequence[tuple[str, float]], barred: Callable[[str], bool] = lambda noun: False) -> str:
        best, nearness = "", -math.inf
        for noun, close in nouns[:ASKED]:
            if close <= nearness:
                break
            if close - unlike(noun) > nearness and not barred(noun):
                best, nearness = noun, close - unlike(noun)
        return best

    blank, own = (asked(denoiser.encode([prompt])) for prompt in ("", concept.probe))
    near = by_nearness(denoiser, concept, bank)
    free = without_concept([noun for noun, _ in near], Concept(concept.name, concept.avoid))
    found = first([(noun, close) for noun, close in near if noun in free], taken)
    neutral = NEUTRAL if not found and reaction(NEUTRAL, NOISES)[1] <= MOST_ALIKE else ""
    return Neighbours(found or neutral, first(near))


class InNoise:
    """What a model predicts for a prompt in a few states of pure noise, the same for every prompt.

    Args:
        denoiser: whose network is asked.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser
        self.x = denoiser.initial_noise(NOISES, torch.Generator().manual_seed(SEED))
        self.sigma = denoiser.sigmas(2)[0].expand(NOISES).to(self.x.device)

    def __call__(self, row: Conditioning, count: int = NOISES) -> Tensor:
        """The predictions (count,C,H,W) for one row, in the first `count` of the states."""
        return self.denoiser.predict(self.x[:count], self.sigma[:count], row[[0] * count])


def by_nearness(denoiser: Denoiser, concept: Concept, bank: Sequence[str]) -> list[tuple[str, float]]:
    """The bank's plain nouns with their nearness, the nearest to the concept first, without its other names.

    Nearness is the cosine of mean token embeddings in "a photo of a ...", taken from their mean. Words that respond to
    the concept's direction (Fisher's, as the gate's) more than halfway as the concept does are other names for it.
    """
    nouns = [noun for noun in plain_nouns(bank) if noun not in concept.words]
    if not nouns:
        return []
    prompts = [f"{PLAIN} {noun}" for noun in nouns]
    others = summed(denoiser, ["", *prompts])
    target = denoiser.encode([prompt for prompt, _ in concept.pairs()])
    scale = heard(denoiser, len(others.mean))
    direction = fisher(Moments().add(target), others, scale=scale)
    words = [f"{PLAIN} {word}" for word in concept.words]
    own = _strongest_of(denoiser, words, direction).mean()
    found = _strongest_of(denoiser, prompts, direction)
    centred = means(denoiser, prompts) * scale.to(direction)
    centre, named = centred.mean(0), (means(denoiser, words) * scale.to(direction)).mean(0)
    close = torch.nn.functional.cosine_similarity(centred - centre, named - centre, dim=-1)
    other = found <= (found.median() + own) / 2
    return [(nouns[i], float(close[i])) for i in close.argsort(descending=True).tolist() if other[i]]


def drawn_as_one_of(asked: InNoise, blank: Tensor, noun: str, words: Sequence[str]) -> bool:
    """Whether the network draws the same for a noun as for the word that the text encoder puts nearest to it.

    Args:
        blank: what it predicts for the empty prompt, (NOISES,C,H,W).
    """
    pair = noun, nearest_of(asked.denoiser, noun, words)
    found, other = (asked(asked.denoiser.encode([f"{PLAIN} {word}"])) for word in pair)
    return float(kappa(found, other, blank).mean()) > MOST_ALIKE


def nearest_of(denoiser: Denoiser, noun: str, words: Sequence[str]) -> str:
    """The word that the text encoder puts nearest to a noun: by the cosine of mean tokens, taken from their mean."""
    found = means(denoiser, [f"{PLAIN} {word}" for word in (NEUTRAL, noun, *words)])
    found = torch.nn.functional.normalize(found - found.mean(0), dim=-1)
    return words[int((found[2:] @ found[1]).argmax())]


def plain_nouns(bank: Sequence[str]) -> list[str]:
    """The X of prompts "a photo of a X" that say nothing more."""
    starts = (f"{PLAIN}n ", f"{PLAIN} ")
    rests = (prompt.removeprefix(start) for prompt in bank for start in starts if prompt.startswith(start))
    return list(dict.fromkeys(rest for rest in rests if 0 < len(rest.split()) <= LONGEST))


def _strongest_of(denoiser: Denoiser, prompts: Sequence[str], direction: Tensor) -> Tensor:
    """`strongest` of prompts, encoded batch by batch."""
    chunks = (prompts[start : start + CHUNK] for start in range(0, len(prompts), CHUNK))
    return torch.cat([strongest(denoiser.encode(chunk), direction) for chunk in chunks])


def strongest(prompts: Conditioning, direction: Tensor) -> Tensor:
    """The largest response of any of a row's tokens to a direction, (rows,); tokens that are zero are padding."""
    text = prompts.tensors["text"].float()
    return (text @ direction.to(text)).masked_fill(is_padding(text), -torch.inf).amax(dim=1)
