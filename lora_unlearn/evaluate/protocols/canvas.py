"""UnlearnCanvas (arXiv 2402.11846): every thing in every style, and what is left of each domain.

UA: share of the pictures that ask for the erased concept and do not show it. IRA, in-domain retain accuracy: share of
the pictures that ask for another of its kind and show that. CRA, cross-domain retain accuracy: share of all pictures
whose other half is right, the thing where a style was erased and the style where a thing was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...demo.words import STYLES, THINGS
from ...errors import UnlearnError
from ...sentences import plural
from ..counting import label, shows, style_of, ways
from ..prompts import Prompt, Protocol
from ..record import Evaluation, Shot, View
from .bench import Bench
from .words import CANVAS_STYLES, CANVAS_THINGS

SENTENCE = "A {} image in {} style."
SEEDS = (188, 288, 588, 688, 888)
"""UnlearnCanvas' own, in which its scripts look for pictures."""


def ask(bench: Bench) -> Protocol:
    """All things in all styles.

    Raises:
        UnlearnError: if the judge tells no styles apart, or the concept is neither among the things nor the styles.
    """
    demo = bench.denoiser.family == "demo"
    things = tuple(bench.things) or (tuple(THINGS) if demo else CANVAS_THINGS)
    styles = tuple(bench.styles) or (tuple(STYLES) if demo else CANVAS_STYLES)
    bench.judge_of(things, styles, "canvas")
    erased = among(bench.concept, things, styles)
    if erased is None:
        raise UnlearnError(
            f"canvas: {bench.concept!r} is neither one of the things ({', '.join(things)}) nor of the styles "
            f"({', '.join(styles)}); name yours with --things and --styles, or choose another protocol."
        )
    prompts = [
        Prompt(SENTENCE.format(thing, style), "target" if erased in (thing, style) else "within", thing, style)
        for style in styles
        for thing in things
    ]
    return Protocol(erased, things, tuple(prompts), styles=styles)


def among(concept: str, things: Sequence[str], styles: Sequence[str]) -> str | None:
    """The concept as the canvas calls it: in any case, in the plural, with or without "style"."""
    style = style_of(concept.lower(), [name.lower() for name in styles])
    if style is not None:
        return next(name for name in styles if name.lower() == style)
    forms = {concept.lower(), plural(concept).lower()}
    return next((name for name in things if name.lower() in forms), None)


def count(evaluation: Evaluation) -> dict[str, Any]:
    """UA, IRA and CRA, without the eraser, with it, and under the plain LoRA."""
    erased, styles = evaluation.protocol.concept, evaluation.styles
    of_style = erased in styles

    def thing(shot: Shot, view: View) -> float:
        return float(label(view, evaluation) == shot.prompt.wanted)

    def style(shot: Shot, view: View) -> float:
        return float(view.style is not None and styles[view.style] == shot.prompt.partner)

    own, other = (style, thing) if of_style else (thing, style)
    return {
        "erased": erased,
        "domain": "style" if of_style else "thing",
        "things": len({shot.prompt.wanted for shot in evaluation.shots}),
        "styles": len({shot.prompt.partner for shot in evaluation.shots}),
        "ua": ways(evaluation.of("target"), lambda shot, view: float(not shows(view, evaluation, erased))),
        "ira": ways(evaluation.of("within"), own),
        "cra": ways(evaluation.shots, other),
    }
