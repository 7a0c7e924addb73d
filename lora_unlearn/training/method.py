"""A method: a row of parts by their names, and their hyper-parameters.

Settings hold the row, so that a file says exactly how its eraser was made, and every interface can offer every part.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import UnlearnError
from ..options import Option, chosen, made, options_of, unknown
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


def check_settings(settings: Settings) -> None:
    """Refuse what no eraser can be made with; a file's settings may be older, so of them `check_parts` asks less.

    Raises:
        UnlearnError: saying what to change.
    """
    for kind in LISTS:
        names = getattr(settings, kind)
        if isinstance(names, str):
            raise UnlearnError(f"{kind} takes several names, ({names!r},), and not one text, {names!r}.")
        if twice := [name for name in names if list(names).count(name) > 1]:
            raise UnlearnError(f"{kind} names {twice[0]} twice; once is enough, how much it counts is its option.")
    check_parts(settings)
    for name, option in options_of(Settings).items():
        if name != "iterations" or settings.trains:  # none at all is what a closed form has
            option.read(getattr(settings, name))


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


def changed(settings: Settings, typed: Mapping[str, Any]) -> Settings:
    """Settings with options that somebody typed: a field's, a part's name, or a part's own, "retain.weight".

    A part's option may be named without the part where no other part of the method has one of that name.

    Raises:
        UnlearnError: for an unknown name, a value out of its range, an option without use, or parts that do not fit.
    """
    own = options_of(Settings)
    useless = [name for name in typed if name in TRAINED_ONLY]
    if useless and not settings.trains:
        raise UnlearnError(
            f"This method trains nothing, so {useless[0]} has no use; leave it out, or choose a method that trains."
        )
    fields = {name: own[name].read(value) for name, value in typed.items() if name in own}
    fields |= {name: _names(name, value) for name, value in typed.items() if name in PARTS}
    found = replace(settings, **fields)
    further = {name: value for name, value in typed.items() if name not in fields}
    options = {key: option.read(further[name], key) for name in further for key, option in [_found(name, found)]}
    mine = own_options(found)  # what a part had that is none of the method's any more goes with it
    found = replace(found, options={**{key: found.options[key] for key in found.options if key in mine}, **options})
    check_settings(found)
    return found


def _found(name: str, settings: Settings) -> tuple[str, Option]:
    """A part's option by its full or its short name.

    Raises:
        UnlearnError: if there is none, or the part is none of the method's.
    """
    known, mine = part_options(), own_options(settings)
    fitting = [key for key in mine if name in (key, key.split(".")[1])]
    if len(fitting) == 1:
        return fitting[0], mine[fitting[0]]
    elsewhere = [key for key in known if name in (key, key.split(".")[1])]
    if elsewhere and not fitting:
        part = elsewhere[0].split(".")[0]
        raise UnlearnError(
            f"The option {name} belongs to {part}, which this method has not; {_with(part, settings)}leave it out."
        )
    if fitting:
        raise UnlearnError(f"{name} is an option of several parts; write {' or '.join(fitting)}.")
    raise unknown("option", name, [*options_of(Settings), *PARTS, *mine])


def _with(part: str, settings: Settings) -> str:
    """How to get a part into a method: "write terms=goal,retain, too, or "; nothing where it could have no use."""
    kind = next(kind for kind, table in PARTS.items() if part in table)
    if kind in TRAINED_ONLY and not settings.trains:
        return ""
    names = (part,) if kind not in LISTS or part in SOURCES else (*getattr(settings, kind), part)
    return f"write {kind}={','.join(names)}, too, or "


def _names(field: str, value: Any) -> Any:
    """The parts' names in a text: a tuple where a field takes several."""
    names = tuple(part.strip() for part in str(value).split(",") if part.strip()) if isinstance(value, str) else value
    if field in LISTS:
        return tuple(names)
    return value


def written(settings: Settings, usual: Settings) -> list[str]:
    """The options that turn one row into another, as `read_option` reads them; parts and their numbers alone."""
    parts = {kind: getattr(settings, kind) for kind in PARTS if getattr(settings, kind) != getattr(usual, kind)}
    found = [f"{kind}={','.join(value) if kind in LISTS else value}" for kind, value in parts.items()]
    return found + [f"{key}={value:.16g}" for key, value in settings.options.items()]


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
