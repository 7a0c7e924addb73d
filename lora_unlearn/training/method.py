"""A method: a row of parts by their names, and their hyper-parameters.

Settings hold the row, so that a file says exactly how its eraser was made, and every interface can offer every part.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import UnlearnError
from ..options import Option, chosen, made, options_of
from ..settings import Settings
from .averages import AVERAGES, Average
from .objectives import OBJECTIVES
from .progress import Report, Stop
from .scene import Scene
from .sources import SOURCES, WRAPPERS, Source, Wrapper
from .sources.drawing import Drawing
from .starts import FROM_TEXT, STARTS, Start
from .terms import TERMS, Term
from .updates import UPDATES, Update

PARTS: dict[str, Mapping[str, Any]] = {
    "down": STARTS,
    "source": ChainMap[str, Any](WRAPPERS, SOURCES),
    "objective": OBJECTIVES,
    "terms": TERMS,
    "update": UPDATES,
    "average": AVERAGES,
    "selector": dict.fromkeys(("cross_v", "cross_kv", "context", "all_but_cross")),
    "reference": dict.fromkeys(("nearest", "empty")),
}
"""Tables of parts by the field of `Settings` that names them."""
CALLED = {"down": "start", "terms": "term", "selector": "choice of layers"}
"""What a part is called where its field is named otherwise."""
LISTS = ("source", "terms")
"""Fields that name several parts, separated by commas: a source and its wrappers, the terms."""


@dataclass(frozen=True)
class Parts:
    """The parts that settings name, made with their hyper-parameters."""

    start: Start
    source: Source
    wrappers: tuple[Wrapper, ...]
    terms: tuple[Term, ...]
    update: Update
    average: Average

    @classmethod
    def of(cls, settings: Settings) -> Parts:
        """The parts of some settings.

        Raises:
            UnlearnError: for an unknown name or option, or parts that do not fit together.
        """
        check_parts(settings)

        def part(kind: str, name: str) -> Any:
            return made(PARTS[kind][name], name, settings.options)

        first, *further = settings.source
        return cls(
            part("down", settings.down),
            part("source", first),
            tuple(part("source", name) for name in further),
            tuple(part("terms", name) for name in settings.terms),
            part("update", settings.update),
            part("average", settings.average),
        )

    def begin(self, scene: Scene, report: Report, stop: Stop) -> Drawing:
        """The source with all its wrappers around it, ready to draw from."""
        drawing = self.source.begin(scene, report, stop)
        for wrapper in self.wrappers:
            drawing = wrapper.wrap(scene, drawing)
        return drawing

    def evaluations(self, settings: Settings) -> tuple[int, int, int]:
        """What a training costs at most: evaluations before the first update, and of each state of an update without
        gradients and with.
        """
        before, plain, graded = self.source.evaluations(settings)
        for wrapper in self.wrappers:
            more = wrapper.evaluations(settings)
            before, plain, graded = before + more[0], plain + more[1], graded + more[2]
        for term in self.terms:
            more_plain, more_graded = term.evaluations()
            plain, graded = plain + more_plain, graded + more_graded
        return before, plain, graded


def part_options() -> dict[str, Option]:
    """Every part's hyper-parameters, by "part.name"."""
    parts = {name: part for table in PARTS.values() for name, part in table.items() if isinstance(part, type)}
    return {f"{name}.{key}": found for name, part in parts.items() for key, found in options_of(part).items()}


def own_options(settings: Settings) -> dict[str, Option]:
    """The hyper-parameters of the parts that settings name, by "part.name"."""
    fields = {kind: getattr(settings, kind) for kind in PARTS}
    named = {name for kind, value in fields.items() for name in (value if kind in LISTS else (value,))}
    return {key: option for key, option in part_options().items() if key.split(".")[0] in named}


def check_parts(settings: Settings) -> None:
    """Refuse names and options that there are not, and parts that cannot work together.

    Raises:
        UnlearnError: saying what to change.
    """
    for kind, known in PARTS.items():
        value = getattr(settings, kind)
        for name in value if kind in LISTS else (value,):
            chosen(CALLED.get(kind, kind), name, known)
    if not settings.source or settings.source[0] not in SOURCES or any(s in SOURCES for s in settings.source[1:]):
        raise UnlearnError(
            f"Of the sources exactly the first is one of {', '.join(SOURCES)}, the others change what it gives "
            f"({', '.join(WRAPPERS)}); {', '.join(settings.source) or 'nothing'} is no such row."
        )
    if "goal" not in settings.terms[:1]:
        raise UnlearnError("The first term must be goal, the one that erases; the others hold what must stay.")
    if UPDATES[settings.update].reconciles and len(settings.terms) < 2:
        raise UnlearnError(
            f"The update {settings.update} reconciles the erasing term with one that retains, and there is none; add "
            "one: terms=goal,retain."
        )
    if settings.down in FROM_TEXT and settings.selector == "all_but_cross":
        raise UnlearnError(
            f"The start {settings.down} takes directions from the text, and the layers all_but_cross do not read it; "
            "use random directions with them (paper mode)."
        )
    known = part_options()
    for key, value in settings.options.items():
        chosen("option", key, known).read(value, key)
