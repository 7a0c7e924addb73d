"""What a protocol is made of, and what it hands out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..drawing import Saving, pictures, plan
from ..prompts import Prompt, Protocol
from ..record import Evaluation
from .bench import Bench


@dataclass
class Measured:
    """What a protocol found.

    Attributes:
        figures: its key of report.json: shares with their intervals, None where nothing could be measured.
        evaluation: the pictures behind it; None where none were drawn.
        unfinished: whether it was interrupted.
    """

    figures: dict[str, Any]
    evaluation: Evaluation | None = None
    unfinished: bool = False


def drawn(bench: Bench, asked: Protocol, seeds: Sequence[int]) -> int:
    """How many pictures the ordinary way draws."""
    return pictures(plan(bench.pipe, bench.eraser, asked, seeds, bench.saving))


Measure = Callable[[Bench, Protocol, Sequence[int]], Measured]
Count = Callable[[Evaluation], dict[str, Any]]


@dataclass(frozen=True)
class Row:
    """A row of `PROTOCOLS`.

    Attributes:
        ask: what is asked; refuses in a sentence what the judge or the model can't answer.
        measure: from what is asked and the seeds of every prompt's pictures to the figures.
        about: what it measures, in a line.
        origin: the paper and its number.
        seeds: pictures of each prompt, in full and for a first look.
        several: whether it measures more than one eraser.
        pictures: how many are drawn.
    """

    ask: Callable[[Bench], Protocol]
    measure: Measure
    about: str
    origin: str
    seeds: tuple[int, int] = (5, 1)
    several: bool = False
    pictures: Callable[[Bench, Protocol, Sequence[int]], int] = drawn


def by_pictures(name: str, count: Count, saving: Saving | None = None) -> Measure:
    """The ordinary way to measure: draw and judge all that is asked, then count."""

    def measure(bench: Bench, asked: Protocol, seeds: Sequence[int]) -> Measured:
        evaluation = bench.draw(asked, name, seeds, count, saving)
        return Measured(evaluation.figures, evaluation, evaluation.unfinished)

    return measure


def asking(bench: Bench, prompts: Sequence[Prompt], labels: Sequence[str] = (), styles: Sequence[str] = ()) -> Protocol:
    """What is asked, without repeats; judged among these labels and styles, or all that the judge knows."""
    kept = {prompt.text: prompt for prompt in reversed(prompts)}
    known = tuple(labels) or bench.judge.labels, tuple(styles) or bench.judge.styles
    return Protocol(bench.concept, known[0], tuple(reversed(kept.values())), styles=known[1])
