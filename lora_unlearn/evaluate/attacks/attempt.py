"""What every attack is, and what it hands out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from .drawing import Way
from .victim import Victim

Needs = Literal["prompt", "embedding", "settings", "picture", "training"]


@dataclass(frozen=True)
class Attempt:
    """A way to ask for the concept that an attack found.

    Attributes:
        way: how the picture is asked for.
        found: the prompt, or in words what stands in its place.
    """

    way: Way
    found: str


@dataclass(frozen=True)
class Attack:
    """A row of `ATTACKS`.

    Attributes:
        run: (victim, prompt, seed, budget) to an attempt; the same arguments give the same one.
        needs: the least that an attacker must be able to do or have, see `NEEDS`.
        weights: whether it also reads the eraser's or the model's weights.
        about: what it does, in a line.
        origin: the paper and its number, or what it is known as.
        counts: what the budget counts.
        budget: the usual one.
        reads_text: whether it is about the gate's direction, so that a gate which reads no text is not attacked so.
        soft: whether it moves vectors of one CLIP text model.
        searches_words: whether it needs the text encoder's vocabulary.
        guided: whether it needs a negative prompt.
        pictures: whether it needs pictures of the concept.
    """

    run: Callable[[Victim, str, int, int], Attempt]
    needs: Needs
    weights: bool
    about: str
    origin: str
    counts: str
    budget: int
    reads_text: bool = False
    soft: bool = False
    searches_words: bool = False
    guided: bool = False
    pictures: bool = False
