"""Without the name: descriptions and kinds of a concept should go, its genus and other senses of its word stay.

After EMMA's implicit prompts, SEE (arXiv 2508.15124: sub- and superclasses) and CAEB (keep or remove by context).
"""

from __future__ import annotations

from typing import Any

from ...errors import UnlearnError
from ..counting import counted, shows, ways
from ..prompts import Kind, Prompt, Protocol
from ..record import Evaluation
from .bench import Bench
from .row import asking
from .words import IMPLICIT

KINDS: tuple[Kind, ...] = ("description", "subclass", "superclass", "sense")
GOES: tuple[Kind, ...] = ("description", "subclass")


def ask(bench: Bench) -> Protocol:
    """What the word list says of the concept.

    Raises:
        UnlearnError: if it says nothing of it, or the judge does not know it.
    """
    known = bench.implicit or IMPLICIT.get(bench.concept)
    if known is None:
        raise UnlearnError(
            f"implicit: nothing is known of {bench.concept!r} but of {', '.join(IMPLICIT)}; give a file with "
            "--implicit, a line each: description, subclass, superclass or sense, a colon, and the prompt."
        )
    if bench.style is None and bench.concept not in bench.judge.labels:
        raise UnlearnError(f"implicit: the judge does not know {bench.concept!r}; choose another protocol.")
    return asking(bench, [Prompt(text, kind, bench.concept) for kind in KINDS for text in known.get(kind, ())])


def read(lines: list[str], where: str) -> dict[Kind, tuple[str, ...]]:
    """The user's own list, from lines like "description: a small pet that purrs".

    Raises:
        UnlearnError: naming the first line of another form.
    """
    found: dict[Kind, tuple[str, ...]] = {}
    for line in lines:
        name, _, text = line.partition(":")
        kind = next((kind for kind in KINDS if kind == name.strip()), None)
        if kind is None or not text.strip():
            raise UnlearnError(
                f"{where}: {line[:60]!r} is no line like 'description: a small pet that purrs'; mend it."
            )
        found[kind] = (*found.get(kind, ()), text.strip())
    return found


def count(evaluation: Evaluation) -> dict[str, Any]:
    """Of each kind: how often the concept is seen, how often the gate opened, how many pictures are the same bytes."""
    concept = evaluation.protocol.concept
    figures: dict[str, Any] = {}
    for kind in KINDS:
        shots = evaluation.of(kind)
        figures[kind] = {
            "should_go": kind in GOES,
            "shown": ways(shots, lambda shot, view: float(shows(view, evaluation, concept))),
            "opened": counted(shots, lambda shot: float(bool(shot.decision.open))),
            "identical": counted(shots, lambda shot: float(shot.gated.identical)),
        }
    return figures
