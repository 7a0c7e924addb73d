"""Options of a method that somebody typed, or a program set: read, checked, and written again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..errors import UnlearnError
from ..options import Option, options_of, unknown
from ..settings import Settings
from .method import LISTS, PARTS, check_parts, own_options, part_options
from .sources import SOURCES

USUAL = Settings()
TRAINED_ONLY = (
    "objective", "source", "terms", "update", "average", "iterations", "batch", "learning_rate", "trajectories",
    "trajectory_steps", "guidance_scale", "enough", "offload",
)  # fmt: skip
"""Fields without use where nothing is trained."""


def changed(settings: Settings, typed: Mapping[str, Any]) -> Settings:
    """Settings with options that somebody typed: a field's, a part's name, or a part's own, "retain.weight".

    A part's option may be named without the part where no other part of the method has one of that name.

    Raises:
        UnlearnError: for an unknown name, a value out of its range, an option without use, or parts that do not fit.
    """
    own = options_of(Settings)
    useless = [name for name in typed if name in TRAINED_ONLY]
    if useless and not settings.trains:
        raise no_use(useless[0])
    fields = {name: own[name].read(value) for name, value in typed.items() if name in own}
    fields |= {name: _names(name, value) for name, value in typed.items() if name in PARTS}
    found = replace(settings, **fields)
    further = {name: value for name, value in typed.items() if name not in fields}
    options = {key: option.read(further[name], key) for name in further for key, option in [_found(name, found)]}
    mine = own_options(found)  # what a part had that is none of the method's any more goes with it
    found = replace(found, options={**{key: found.options[key] for key in found.options if key in mine}, **options})
    return checked(found)


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
        raise not_its(elsewhere[0], settings, name)
    if fitting:
        raise UnlearnError(f"{name} is an option of several parts; write {' or '.join(fitting)}.")
    raise unknown("option", name, [*options_of(Settings), *PARTS, *mine])


def no_use(name: str) -> UnlearnError:
    """What to say of a field where nothing is trained."""
    return UnlearnError(
        f"This method trains nothing, so {name} has no use; leave it out, or choose a method that trains."
    )


def not_its(key: str, settings: Settings, called: str = "") -> UnlearnError:
    """What to say of an option "part.name" of a part that is none of the method's: how to get the part into it.

    Args:
        called: the option as it was typed.
    """
    part = key.split(".")[0]
    kind = next(kind for kind, table in PARTS.items() if part in table)
    names = (part,) if kind not in LISTS or part in SOURCES else (*getattr(settings, kind), part)
    remedy = "" if kind in TRAINED_ONLY and not settings.trains else f"write {kind}={','.join(names)}, too, or "
    return UnlearnError(
        f"The option {called or key} belongs to {part}, which this method has not; {remedy}leave it out."
    )


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


def read_option(text: str) -> tuple[str, str]:
    """One "name=value", as command lines and fields of pages take it.

    Raises:
        UnlearnError: if it is none.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise UnlearnError(f"{text[:40]!r} is no option; write name=value, for example retain.weight=2.")
    return name.strip().replace("-", "_"), value.strip()


def checked(settings: Settings) -> Settings:
    """Settings that a program made, each number of its own type.

    A file's may be older, so of them `check_parts` asks less.

    Raises:
        UnlearnError: for what no eraser can be made with, saying what to change.
    """
    for kind in PARTS:
        names = getattr(settings, kind)
        if kind in LISTS and isinstance(names, str):
            raise UnlearnError(f"{kind} takes several names, ({names!r},), and not one text, {names!r}.")
        if not (isinstance(names, str) or (kind in LISTS and isinstance(names, (tuple, list)))):
            raise UnlearnError(f"{kind} takes {'names' if kind in LISTS else 'a name'}, not {str(names)[:40]!r}.")
        if kind in LISTS and (twice := [name for name in names if list(names).count(name) > 1]):
            raise UnlearnError(f"{kind} names {twice[0]} twice; once is enough, how much it counts is its option.")
    if not isinstance(settings.options, Mapping):
        raise UnlearnError(f"options takes a dict of numbers by name, not {str(settings.options)[:40]!r}.")
    check_parts(settings)
    for name in ("source", "terms", "update", "average"):
        if not settings.trains and getattr(settings, name) != getattr(USUAL, name):
            raise no_use(name)
    if foreign := settings.options.keys() - own_options(settings):
        raise not_its(min(foreign), settings)
    known = options_of(Settings)
    if settings.iterations == 0:  # what a closed form has
        del known["iterations"]
    return replace(settings, **{name: option.read(getattr(settings, name)) for name, option in known.items()})
