"""Small tools for counting: which of a shot's pictures is meant, and what the judge sees on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .prompts import UNRELATED
from .record import Evaluation, Shot, View
from .scores import Values, bootstrap, mean, restricted, share_interval

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


class Counted(dict[str, Any]):
    """A share with its interval, and of how many pictures: `share`, `interval`, `pictures`.

    Attributes:
        values_of: 0 or 1 (or a distance) of every picture, by its prompt and seed, for comparing two erasers.
    """

    def __init__(self, values: dict[tuple[str, int], float], interval: Callable[[Values], Any]) -> None:
        found: dict[str, list[float]] = {}
        for (text, _), value in values.items():
            found.setdefault(text, []).append(value)
        listed = list(found.values())
        super().__init__(share=mean(listed), interval=interval(listed), pictures=len(values))
        self.values_of = values


def counted(shots: Iterable[Shot], value: Callable[[Shot], float]) -> Counted:
    """The share of shots whose value, 0 or 1, is 1."""
    return Counted({(shot.prompt.text, shot.seed): value(shot) for shot in shots}, share_interval)


def averaged(shots: Iterable[Shot], value: Callable[[Shot], float]) -> Counted:
    """The mean of any value, with the bootstrap's interval over prompts."""

    def interval(values: Values) -> tuple[float, float] | None:
        return bootstrap([values], lambda drawn: float(drawn.mean())) if values else None

    return Counted({(shot.prompt.text, shot.seed): value(shot) for shot in shots}, interval)


def ways(shots: Sequence[Shot], value: Callable[[Shot, View], float]) -> dict[str, Any]:
    """The same without the eraser ("base"), with it ("gated"), and under the file as a plain LoRA ("exported")."""

    def seen(see: See) -> dict[str, Any]:
        return counted(drawn(shots, see), lambda shot: value(shot, see(shot)))

    return {"base": seen(base), "gated": seen(gated), "exported": seen(exported)}


def label(view: View, evaluation: Evaluation, among: Sequence[str] = ()) -> str:
    """What the judge sees, among some labels or all of its own."""
    chosen = tuple(among) or evaluation.labels
    return chosen[int(restricted(view.probabilities[None], evaluation.labels, chosen).argmax())]


def identical_share(evaluation: Evaluation, see: See) -> float | None:
    """Share of the unrelated pictures, of those that were drawn, that are byte for byte those without the eraser."""
    shots = [s for s in evaluation.of(*UNRELATED) if (s.compared if see is gated else s.exported is not None)]
    return share(shots, lambda shot: float(see(shot).identical))


def shows(view: View, evaluation: Evaluation, name: str) -> bool:
    """Whether the judge sees a concept: its label among all, or its style ("clipart style", or "clipart")."""
    style = style_of(name, evaluation.styles)
    return label(view, evaluation) == name if style is None else view.style == evaluation.styles.index(style)


def style_of(name: str, styles: Sequence[str]) -> str | None:
    """The style among some that a concept is called after; None: it is none of them."""
    bare = name.removesuffix(" style")
    return next((style for style in styles if style in (name, bare)), None)
