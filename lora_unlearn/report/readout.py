"""What gates decided, picture by picture: as lines of text and as a chart of scores against thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from ..guidance import Decision
from .markup import Html, tag
from .sheet import GAP, INK, LINE, PAPER, SOFT, plain_font

OPEN, CLOSED, TRACK = (194, 65, 12), (71, 110, 143), (233, 230, 222)
BAR = 260
"""Width of a bar's track in pixels."""
NOTABLE = 8
"""Erasers that are told of one by one; of a larger set those that do something."""
MARGIN = 0.08
"""Share of the scores' range that a track goes on beyond it."""


@dataclass(frozen=True)
class Reading:
    """What one gate decided about one prompt of one picture.

    Attributes:
        picture: number of the picture in its batch, from 1.
        part: number of the prompt, from 1, where a picture has several (regions); 0 where it has one.
        concept: what the eraser erases.
        decision: as the guidance made it.
        prompt: shown instead of the picture's number where it is given.
    """

    picture: int
    part: int
    concept: str
    decision: Decision
    prompt: str = ""

    @property
    def label(self) -> str:
        """Which picture, prompt and eraser this is about."""
        return self.prompt or f"{self.place}: {self.concept}"

    @property
    def place(self) -> str:
        """Which picture and prompt this is about."""
        return self.prompt or f"picture {self.picture}{f', prompt {self.part}' if self.part else ''}"

    @property
    def verdict(self) -> str:
        """The decision and its numbers on a short line."""
        decision = self.decision
        if decision.open is None:
            return "not decided"
        said = "open" if decision.open else "closed"
        if decision.score is None or decision.threshold is None:
            return f"{said} (set by hand)"
        return f"{said}, score {decision.score:.2f}, threshold {decision.threshold:.2f}"

    @property
    def words(self) -> str:
        """The decision and what follows from it, without numbers."""
        if self.decision.open is None:
            return "not decided"
        said = "open, erases it" if self.decision.open else "closed, changes nothing"
        return said if self.details else f"{said} (set by hand)"

    @property
    def details(self) -> str:
        """The numbers behind it; empty if the gate was not asked."""
        score, threshold = self.decision.score, self.decision.threshold
        return "" if score is None or threshold is None else f"score {score:.2f}, opens from {threshold:.2f}"


def readings(concepts: Sequence[str], pictures: Sequence[Sequence[Sequence[Decision]]]) -> list[Reading]:
    """Readings in order.

    Args:
        concepts: what each eraser erases.
        pictures: for each picture and each of its prompts the decisions, one for each eraser.
    """
    return [
        Reading(number, part if len(prompts) > 1 else 0, concept, decision)
        for number, prompts in enumerate(pictures, 1)
        for part, decisions in enumerate(prompts, 1)
        for concept, decision in zip(concepts, decisions, strict=True)
    ]


def notable(found: Sequence[Reading], most: int = NOTABLE) -> list[Reading]:
    """Of each prompt's readings those that are open, and of the others the nearest to it, `most` in all; in order."""
    kept = set[int]()
    for numbers in _by_prompt(found).values():
        shut = [number for number in numbers if found[number].decision.open is False]
        loud = [number for number in numbers if found[number].decision.open is not False]
        shut.sort(key=lambda number: _short_of(found[number].decision))
        kept.update((*loud, *shut[: max(0, most - len(loud))]))
    return [reading for number, reading in enumerate(found) if number in kept]


def verdict_lines(found: Sequence[Reading], most: int = NOTABLE) -> list[str]:
    """A line for each reading; where a prompt has more than `most`, one for each that is open and one for the rest."""
    lines = list[str]()
    for numbers in _by_prompt(found).values():
        own = [found[number] for number in numbers]
        shown = own if len(own) <= most else [reading for reading in own if reading.decision.open is not False]
        lines += [f"{reading.label}: {reading.words}" for reading in shown]
        if len(shown) < len(own):
            rest = "others" if shown else "erasers"
            lines.append(f"{own[0].place}: {len(own) - len(shown)} {rest} closed, change nothing")
    return lines


def opened_line(found: Sequence[Reading]) -> str:
    """The readings of one prompt in a few words: "2 of 100 open: cat, dog"."""
    names = [reading.concept for reading in found if reading.decision.open]
    more = f" and {len(names) - NOTABLE} more" if len(names) > NOTABLE else ""
    said = f": {', '.join(names[:NOTABLE])}{more}" if names else ""
    return f"{len(names)} of {len(found)} open{said}"


def _by_prompt(found: Sequence[Reading]) -> dict[str, list[int]]:
    """The places of the readings that are of one prompt."""
    places: dict[str, list[int]] = {}
    for number, reading in enumerate(found):
        places.setdefault(reading.place, []).append(number)
    return places


def _short_of(decision: Decision) -> float:
    """How far a score is from opening; nothing is further than a gate that was not asked."""
    if decision.score is None or decision.threshold is None:
        return float("inf")
    return decision.threshold - decision.score


def cost_line(evaluations: float, extra: float) -> str:
    """What the pictures cost.

    Args:
        evaluations: network evaluations in all.
        extra: how many of them gates and erasers added.
    """
    share = extra / (evaluations - extra) if evaluations > extra else 0.0
    return f"cost: {evaluations:.0f} network evaluations, {extra:.0f} of them for erasing ({100 * share:.0f} % more)"


def readout_chart(found: Sequence[Reading]) -> Image.Image:
    """A bar for each reading that has a score: its length the score, the upright line the threshold.

    Each eraser has a scale of its own, because scores of different erasers do not compare.
    """
    font = plain_font()
    left = 2 * GAP + int(max((font.getlength(reading.label) for reading in found), default=0))
    right = int(max((font.getlength(reading.words) for reading in found), default=0))
    row = LINE + 2 * GAP
    page = Image.new("RGB", (left + BAR + right + 4 * GAP, row * max(1, len(found)) + 2 * GAP), PAPER)
    pen = ImageDraw.Draw(page)
    for index, reading in enumerate(found):
        top = GAP + index * row
        pen.text((GAP, top + GAP), reading.label, INK, font)
        pen.text((left + BAR + 3 * GAP, top + GAP), reading.words, INK if reading.decision.open else SOFT, font)
        _bar(pen, reading, _range(found, reading.concept), left + GAP, top + GAP)
    return page


def readout_bars(found: Sequence[Reading]) -> Html:
    """The same as `readout_chart` for a page: bars of plain elements, coloured by the page's style."""
    return tag("div", [_bar_row(reading, _range(found, reading.concept)) for reading in found], class_="gates")


def _bar_row(reading: Reading, span: tuple[float, float]) -> list[Html]:
    decision, (low, high) = reading.decision, span
    marks: list[Html] = []
    if decision.score is not None and decision.threshold is not None:
        zero, score, threshold = (
            100 * (value - low) / (high - low) for value in (0.0, decision.score, decision.threshold)
        )
        place = f"left:{min(zero, score):.1f}%;width:{abs(score - zero):.1f}%"
        marks = [
            tag("span", style=place, class_="gate-open" if decision.open else "gate-closed"),
            tag("i", style=f"left:{threshold:.1f}%"),
        ]
    return [
        tag("span", reading.label, class_="gate-label"),
        tag("span", marks, class_="gate-track"),
        tag("span", reading.verdict, class_="gate-verdict"),
    ]


def _range(found: Sequence[Reading], concept: str) -> tuple[float, float]:
    """From where to where the scale of an eraser goes: over its scores, its thresholds and zero."""
    mine = [reading.decision for reading in found if reading.concept == concept]
    values = [0.0, *(value for each in mine for value in (each.score, each.threshold) if value is not None)]
    low, high = min(values), max(values)
    room = MARGIN * (high - low) or 1.0
    return low - room * (low < 0), high + room


def _bar(pen: ImageDraw.ImageDraw, reading: Reading, span: tuple[float, float], left: int, top: int) -> None:
    """Draw one bar with its threshold; an empty track where no score was asked for."""
    decision, (low, high) = reading.decision, span
    pen.rectangle((left, top, left + BAR, top + LINE), TRACK)
    if decision.score is None or decision.threshold is None:
        return
    zero, score, threshold = (
        left + round(BAR * (value - low) / (high - low)) for value in (0.0, decision.score, decision.threshold)
    )
    pen.rectangle((min(zero, score), top, max(zero, score), top + LINE), OPEN if decision.open else CLOSED)
    pen.line((threshold, top - 3, threshold, top + LINE + 3), INK, 2)
