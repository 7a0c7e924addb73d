"""A method: a row of parts by their names, and their hyper-parameters.

Settings hold the row, so that a file says exactly how its eraser was made, and every interface can offer every part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import UnlearnError
from ..options import Option, chosen, options_of
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
    "source": SOURCES | WRAPPERS,
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
        first, *further = settings.source
        return cls(
            made("down", settings.down, settings),
            made("source", first, settings),
            tuple(made("source", name, settings) for name in further),
            tuple(made("terms", name, settings) for name in settings.terms),
            made("update", settings.update, settings),
            made("average", settings.average, settings),
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


def made(kind: str, name: str, settings: Settings) -> Any:
    """One part with its hyper-parameters.

    Raises:
        UnlearnError: for an unknown name.
    """
    part = chosen(CALLED.get(kind, kind), name, PARTS[kind])
    own = f"{name}."
    return part(**{key.removeprefix(own): value for key, value in settings.options.items() if key.startswith(own)})


def part_options() -> dict[str, Option]:
    """Every part's hyper-parameters, by "part.name"."""
    parts = {name: part for table in PARTS.values() for name, part in table.items() if isinstance(part, type)}
    return {f"{name}.{key}": found for name, part in parts.items() for key, found in options_of(part).items()}


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
    if settings.update in ("restricted", "surgery") and len(settings.terms) < 2:
        raise UnlearnError(
            f"The update {settings.update} reconciles the erasing term with one that retains, and there is none; add "
            "one: terms=goal,retain."
        )
    if settings.down in FROM_TEXT and settings.selector == "all_but_cross":
        raise UnlearnError(
            f"The start {settings.down} takes directions from the text, and the layers all_but_cross do not read it; "
            "use random directions with them (paper mode)."
        )
    unknown = [key for key in settings.options if key not in part_options()]
    if unknown:
        chosen("option", unknown[0], part_options())


def changed(settings: Settings, typed: Mapping[str, Any]) -> Settings:
    """Settings with options that somebody typed: a field's or a part's, "rank", "terms" or "retain.weight".

    A part's option may be named without the part where no other has its name.

    Raises:
        UnlearnError: for an unknown name, a value out of its range, an option without use, or parts that do not fit.
    """
    own, of_parts, options = options_of(Settings), part_options(), dict(settings.options)
    fields: dict[str, Any] = {}
    for name, value in typed.items():
        short = [key for key in of_parts if key.endswith(f".{name}")]
        if name in own:
            fields[name] = own[name].read(value)
        elif name in PARTS:
            fields[name] = _names(name, value)
        elif name in of_parts or len(short) == 1:
            key = name if name in of_parts else short[0]
            options[key] = of_parts[key].read(value, key)
        else:
            chosen("option", name, {**own, **dict.fromkeys(PARTS), **of_parts})
    found = replace(settings, options=options, **fields)
    check_parts(found)
    check_used(found, typed, settings.trains)
    return found


def _names(field: str, value: Any) -> Any:
    """The parts' names in a text: a tuple where a field takes several."""
    names = tuple(part.strip() for part in str(value).split(",") if part.strip()) if isinstance(value, str) else value
    if field in LISTS:
        return tuple(names)
    return value


def check_used(settings: Settings, typed: Mapping[str, Any], trains: bool) -> None:
    """Refuse typed options that nothing asks for.

    Raises:
        UnlearnError: naming the first.
    """
    named = {settings.down, *settings.source, *settings.terms, settings.update, settings.average}
    of_parts = part_options()
    for name in typed:
        keys = [key for key in of_parts if key == name or key.endswith(f".{name}")]
        if keys and name not in options_of(Settings) and not any(key.split(".")[0] in named for key in keys):
            raise UnlearnError(f"The option {name} belongs to {keys[0].split('.')[0]}, which this method has not.")
        if not trains and name in TRAINED_ONLY:
            raise UnlearnError(
                f"This method trains nothing, so {name} has no use; leave it out, or choose a method that trains."
            )


TRAINED_ONLY = (
    "objective", "source", "terms", "update", "average", "iterations", "batch", "learning_rate", "trajectories",
    "trajectory_steps", "guidance_scale", "enough", "offload",
)  # fmt: skip
"""Fields without use where nothing is trained."""


def read_option(text: str) -> tuple[str, str]:
    """One "name=value", as command lines and fields of pages take it.

    Raises:
        UnlearnError: if it is none.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise UnlearnError(f"{text[:40]!r} is no option; write name=value, for example retain.weight=2.")
    return name.strip().replace("-", "_"), value.strip()
