"""The gate that decides from text alone: a direction among token embeddings, and a threshold for its strongest token.

Everything comes from the model at hand: ordinary prompts on one side, natural sentences with the concept on the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from .bank import Parts
from .bounds import FALSE_OPEN_RATE
from .calibrate import Count, decided, text_scores, text_scores_of_each
from .concept import Concept
from .denoiser import Denoiser
from .directions import fisher, heard
from .gate import Gate, encode_direction
from .moments import Moments, add, summed
from .sentences import sentences

KEPT_WEIGHT = 10.0
"""How often a prompt of something to keep counts, an ordinary one counting once."""


@dataclass(frozen=True)
class Hearing:
    """A gate whose direction is known, with the prompts that set and judge its threshold.

    Attributes:
        gate: with its direction, not calibrated.
        concept: what it opens for, and what is kept beside it.
        parts: ordinary prompts without the concept.
        own: the user's, which by themselves bound the threshold.
        asked: sentences with the concept that did not shape the direction.
    """

    gate: Gate
    concept: Concept
    parts: Parts
    own: tuple[str, ...]
    asked: list[str]

    @property
    def closed(self) -> list[str]:
        """The prompts that set the threshold."""
        return [*self.parts.calibrate, *self.own]


def text_gate(
    denoiser: Denoiser,
    concept: Concept,
    parts: Parts,
    own: Sequence[str] = (),
    false_open_rate: float = FALSE_OPEN_RATE,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Gate:
    """Find the direction, set the threshold, and ask other prompts how well it does.

    Args:
        denoiser: asked to encode, and for the layers that read the prompt.
        parts: ordinary prompts without the concept.
        own: prompts that the user usually draws: they shape the direction, and by themselves bound the threshold.
        false_open_rate: the bound on false openings, for prompts like `parts.calibrate`.
        report: called with (prompts done, prompts in all).

    Raises:
        UnlearnError: if an embedding is not finite, or there are too few prompts for the rate.
    """
    count = Count(prompts_read(denoiser, concept, parts, own), report)
    gate = settled(denoiser, [hearing(denoiser, concept, parts, own, count)], false_open_rate, count)[0]
    count.finish()
    return gate


def prompts_read(denoiser: Denoiser, concept: Concept, parts: Parts, own: Sequence[str] = ()) -> int:
    """About how many prompts `text_gate` reads."""
    asked = len(sentences(concept, parts.shape, denoiser.family)) + len(concept.kept())
    return len(parts.shape) + len(parts.calibrate) + len(parts.judge) + 2 * len(own) + asked


def hearing(
    denoiser: Denoiser,
    concept: Concept,
    parts: Parts,
    own: Sequence[str] = (),
    count: Callable[[int], None] = lambda more: None,
) -> Hearing:
    """Find a gate's direction, see `text_gate`; `count` hears how many more prompts are read.

    Raises:
        UnlearnError: if an embedding is not finite.
    """
    asked, kept = sentences(concept, parts.shape, denoiser.family), concept.kept()
    shown = list(dict.fromkeys([prompt for prompt, _ in concept.pairs()] + asked[0::2]))
    others = add(denoiser, kept, summed(denoiser, [*parts.shape, *own, ""], count), count, KEPT_WEIGHT)
    target = add(denoiser, shown, Moments(), count)
    direction = fisher(target, others, scale=heard(denoiser, len(others.mean)))
    gate = Gate(statistic="text", direction=encode_direction(direction), unit=target.size)
    return Hearing(gate, concept, parts, tuple(own), asked[1::2])


@dataclass
class Answers:
    """What some gates make of prompts.

    Attributes:
        ordinary: the scores (gates, prompts) of ordinary prompts, each read once for all gates.
        place: of each ordinary prompt there.
        opened: each gate's scores of its own sentences with the concept.
    """

    ordinary: Tensor
    place: dict[str, int]
    opened: list[Tensor]

    @classmethod
    def of(
        cls,
        denoiser: Denoiser,
        hearings: Sequence[Hearing],
        count: Callable[[int], None] = lambda more: None,
        further: Sequence[str] = (),
    ) -> Answers:
        """Ask the gates about all prompts that set and judge them, and `further` ones."""
        asked = dict.fromkeys(p for own in hearings for p in (*own.closed, *own.parts.judge))
        prompts = list(dict.fromkeys([*asked, *further]))
        ordinary = text_scores_of_each(denoiser, [own.gate for own in hearings], prompts, count)
        opened = [text_scores(denoiser, own.gate, own.asked, count) for own in hearings]
        return cls(ordinary, {prompt: place for place, prompt in enumerate(prompts)}, opened)

    def scores(self, number: int, prompts: Sequence[str]) -> Tensor:
        """One gate's scores of ordinary prompts, (len(prompts),)."""
        return self.ordinary[number, [self.place[prompt] for prompt in prompts]]


def settled(
    denoiser: Denoiser,
    hearings: Sequence[Hearing],
    false_open_rate: float = FALSE_OPEN_RATE,
    count: Callable[[int], None] = lambda more: None,
) -> list[Gate]:
    """The gates with their thresholds, each bounded by itself; what they have in common is read once for all.

    Raises:
        UnlearnError: if there are too few prompts for the rate.
    """
    answers = Answers.of(denoiser, hearings, count)
    return [gate_of(own, answers, number, false_open_rate) for number, own in enumerate(hearings)]


def gate_of(own: Hearing, answers: Answers, number: int, false_open_rate: float, lowest: float = -math.inf) -> Gate:
    """One gate with its threshold, and what that makes of prompts that did not set it.

    Args:
        lowest: what the threshold is at least, whatever the gate's own prompts say.

    Raises:
        UnlearnError: if there are too few prompts for the rate.
    """
    opened = answers.opened[number]
    closed, judged = (answers.scores(number, group) for group in (own.closed, own.parts.judge))
    gate = decided(own.gate, own.closed, closed, opened, own.concept, false_open_rate, len(own.own), lowest)
    judged_open, heard_open = (int((scores >= gate.threshold).sum()) for scores in (judged, opened))
    return replace(gate, judged=len(judged), judged_open=judged_open, heard=len(opened), heard_open=heard_open)
