"""Small tools for counting: which of a shot's pictures is meant, and what the judge sees on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from .prompts import UNRELATED
from .record import Evaluation, Shot, View
from .scores import Values, mean, restricted

See = Callable[[Shot], View]
"""Which of a shot's pictures is meant."""


def base(shot: Shot) -> View:
    """The picture without the eraser."""
    return shot.base


def gated(shot: Shot) -> View:
    """The picture with the eraser."""
    return shot.gated


def exported(shot: Shot) -> View:
    """The picture under the file as a plain LoRA."""
    if shot.exported is None:
        raise ValueError(f"No picture of {shot.prompt.text!r} was drawn with the plain LoRA.")
    return shot.exported


def drawn(shots: Iterable[Shot], see: See) -> list[Shot]:
    """The shots that have the picture which `see` asks for."""
    return [shot for shot in shots if see is not exported or shot.exported is not None]


def by_prompt(shots: Iterable[Shot], value: Callable[[Shot], float]) -> Values:
    """A value of every shot, listed prompt by prompt."""
    found: dict[str, list[float]] = {}
    for shot in shots:
        found.setdefault(shot.prompt.text, []).append(value(shot))
    return list(found.values())


def share(shots: Iterable[Shot], value: Callable[[Shot], float]) -> float | None:
    """The mean of a value over shots, None without any."""
    return mean(by_prompt(shots, value))


def label(view: View, evaluation: Evaluation, among: Sequence[str] = ()) -> str:
    """What the judge sees, among some labels or all of its own."""
    chosen = tuple(among) or evaluation.labels
    return chosen[int(restricted(view.probabilities[None], evaluation.labels, chosen).argmax())]


def identical_share(evaluation: Evaluation, see: See) -> float | None:
    """Share of the unrelated pictures, of those that were drawn, that are byte for byte those without the eraser."""
    shots = [s for s in evaluation.of(*UNRELATED) if (s.compared if see is gated else s.exported is not None)]
    return share(shots, lambda shot: float(see(shot).identical))
