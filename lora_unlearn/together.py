"""One bound on false openings for many gates at once: how often any of a hundred erasers works by mistake.

Each gate by itself opens for one ordinary prompt in a hundred, so a hundred of them for up to every prompt. Together
they are judged by one score of a prompt, the largest of all gates' scores, each in units of what ordinary prompts
usually answer that gate; its conformal threshold (`bounds`) bounds how often any gate opens, however they depend on
each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .adapter import Adapter
from .bank import Parts, without_concept
from .bounds import conformal_threshold, least
from .calibrate import LIKE_THE_CONCEPT, Count, mentions
from .denoiser import Denoiser
from .erase import keeping
from .gate import Gate
from .promise import Promise
from .sentences import sentences
from .text_gate import Answers, Hearing, gate_of

TOGETHER_RATE = 0.02
"""The usual bound for a list: two ordinary prompts in a hundred, however many erasers there are."""
USUAL_SCORE = 0.97
"""The quantile of ordinary prompts' scores at which a gate's unit begins."""
LEAST_SPAN = 0.05
"""The least unit, where a gate hardly tells the two apart; scores are in units of the concept's own spread."""


@dataclass
class Bounded:
    """Gates that share a bound.

    Attributes:
        gates: with their thresholds, one for each adapter.
        judged, judged_open: ordinary prompts that served for nothing else, and for how many of them any gate opened.
        judged_like: how many more of them name no concept, but score like one, as what was set aside in the
            calibration does: a puppy for a dog.
    """

    gates: list[Gate]
    judged: int
    judged_open: int
    judged_like: int


def bounded_together(
    denoiser: Denoiser,
    adapters: Sequence[Adapter],
    bank: Sequence[str],
    promise: Promise,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Bounded:
    """Set the thresholds of gates that read the text so that their bound holds for all of them together.

    Args:
        denoiser: the model that all adapters are for, asked to encode.
        bank: ordinary prompts; for each gate those count that do not name its concept.
        promise: its rate is that of all gates together.
        report: called with (prompts done, prompts in all).

    Raises:
        UnlearnError: if there are too few prompts for the rate.
    """
    parts = Parts.of(bank)
    hearings = [heard_again(denoiser, adapter, parts, promise.own) for adapter in adapters]
    asked = sum(len(own.asked) for own in hearings)
    count = Count(asked + len(bank) + len(promise.own), report)
    answers = Answers.of(denoiser, hearings, count, [*parts.shape, *parts.calibrate])
    count.finish()
    lowest = thresholds(answers, hearings, parts.calibrate, promise.share).tolist()
    gates = [gate_of(own, answers, n, promise.share, lowest[n]) for n, own in enumerate(hearings)]
    opened, like = set[str](), set[str]()
    for n, (own, gate) in enumerate(zip(hearings, gates, strict=True)):
        level = float(answers.opened[n].quantile(LIKE_THE_CONCEPT))
        for prompt, score in zip(own.parts.judge, answers.scores(n, own.parts.judge).tolist(), strict=True):
            if score >= gate.threshold:
                (like if score >= level else opened).add(prompt)
    gates = [replace(gate, shared_by=len(gates)) for gate in gates]
    return Bounded(gates, len(parts.judge), len(opened), len(like - opened))


def heard_again(denoiser: Denoiser, adapter: Adapter, parts: Parts, own: Sequence[str]) -> Hearing:
    """A finished eraser's gate, to be set anew."""
    concept = keeping(adapter)
    shaped = parts.without(adapter.concept)
    asked = sentences(concept, shaped.shape, denoiser.family)[1::2]
    gate = Gate(statistic="text", direction=adapter.gate.direction, unit=adapter.gate.unit)
    return Hearing(gate, concept, shaped, tuple(without_concept(own, adapter.concept)), asked)


def thresholds(
    answers: Answers, hearings: Sequence[Hearing], ordinary: Sequence[str], false_open_rate: float
) -> Tensor:
    """A threshold for each gate, (gates,), so that any of them opens for an ordinary prompt at most so often.

    t_i = m_i + b_i z, where z is the conformal threshold of max_i (s_i - m_i) / b_i over `ordinary`. m_i is what the
    prompts that shaped a gate hardly exceed, and m_i + b_i what nearly all sentences with its concept do (all but
    `LIKE_THE_CONCEPT`): so every gate gives way by the same share of the room it has. The prompts that make the units
    are none of `ordinary`, so the bound holds for further prompts like those. Prompts that name a gate's concept, or
    score like it, do not count for that gate.
    """
    units = [_unit(answers.scores(n, own.parts.shape), answers.opened[n]) for n, own in enumerate(hearings)]
    highest = torch.full((len(ordinary),), -torch.inf)
    for n, (own, (begin, span)) in enumerate(zip(hearings, units, strict=True)):
        scaled = (answers.scores(n, ordinary) - begin) / span
        counted = _counted(own, answers, n, false_open_rate)
        counts = torch.tensor([prompt in counted for prompt in ordinary])
        highest = torch.where(counts, torch.maximum(highest, scaled), highest)
    level = conformal_threshold(highest, false_open_rate)
    return torch.tensor([begin + span * level for begin, span in units])


def _counted(own: Hearing, answers: Answers, number: int, false_open_rate: float) -> set[str]:
    """The ordinary prompts for which a gate must stay closed: as where it is bounded by itself."""
    scores = answers.scores(number, own.parts.calibrate), answers.opened[number]
    meant = mentions(own.parts.calibrate, *scores, own.concept.kept(), least(false_open_rate))
    return set(own.parts.calibrate) - set(meant)


def _unit(ordinary: Tensor, opened: Tensor) -> tuple[float, float]:
    """Where a gate's unit begins, and how long it is."""
    begin = float(ordinary.quantile(USUAL_SCORE))
    return begin, max(LEAST_SPAN, float(opened.quantile(LIKE_THE_CONCEPT)) - begin)
