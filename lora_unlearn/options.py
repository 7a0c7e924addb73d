"""Hyper-parameters that are declared once: a dataclass field that knows its bounds and says what it does.

Command line, nodes and web pages read these declarations; nothing about a number stands anywhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any

from .errors import UnlearnError


@dataclass(frozen=True)
class Option:
    """A hyper-parameter.

    Attributes:
        name: of the field.
        default: its value if nobody says otherwise; its type is the option's.
        low, high: bounds that pages offer, both allowed; None for what is no number.
        most: what a program may ask for, where that is more.
        help: what it does, in a sentence without an end.
    """

    name: str
    default: Any
    low: float | None
    high: float | None
    most: float | None
    help: str

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are allowed."""
        return isinstance(self.default, int)

    def read(self, value: Any, called: str = "") -> Any:
        """A value that was typed, of the option's own type.

        Args:
            called: what to call it in a message.

        Raises:
            UnlearnError: if it is no number within the bounds.
        """
        called = called or self.name
        if isinstance(self.default, bool):
            return truth(value, called)
        try:
            found = float("nan") if isinstance(value, bool) else value if isinstance(value, int) else float(value)
        except (TypeError, ValueError, OverflowError):
            found = float("nan")
        assert self.low is not None and self.most is not None  # every number has bounds
        if not self.low <= found <= self.most or (self.whole and found != int(found)):
            kind = f"a {'whole ' * self.whole}number from {self.low:.16g} to {self.most:.16g}"
            raise UnlearnError(f"{called} must be {kind}, not {str(value)[:40]!r}.")
        return int(found) if self.whole else float(found)


def option(default: Any, low: float | None, high: float | None, help: str, most: float | None = None) -> Any:
    """A dataclass field that is a hyper-parameter, see `Option`."""
    return field(default=default, metadata={"low": low, "high": high, "most": most or high, "help": help})


def options_of(kind: type) -> dict[str, Option]:
    """What a dataclass declares by `option`, by name."""
    declared = [field for field in fields(kind) if "help" in field.metadata]
    return {field.name: Option(field.name, field.default, **field.metadata) for field in declared}


def made(part: type, name: str, typed: Mapping[str, Any]) -> Any:
    """A part with those of its hyper-parameters that were typed as "name.option".

    Raises:
        UnlearnError: for a value that is no number within its bounds.
    """
    own = {key: f"{name}.{key}" for key in options_of(part) if f"{name}.{key}" in typed}
    return part(**{key: options_of(part)[key].read(typed[full], full) for key, full in own.items()})


def chosen(kind: str, name: str, known: Mapping[str, Any]) -> Any:
    """The entry of a table by its name.

    Raises:
        UnlearnError: if there is none; it offers the nearest name.
    """
    if name in known:
        return known[name]
    raise unknown(kind, name, known)


def unknown(kind: str, name: str, known: Iterable[str]) -> UnlearnError:
    """What to say of a name that is none; it offers the nearest one."""
    near = get_close_matches(name, list(known), 1)
    remedy = f"the nearest name is {near[0]!r}." if near else f"choose one of {', '.join(known)}."
    return UnlearnError(f"There is no {kind} {name[:40]!r}; {remedy}")


def truth(value: Any, called: str) -> bool:
    """A yes or no that was typed.

    Raises:
        UnlearnError: if it is neither.
    """
    known = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    text = str(value).strip().lower()
    if text not in known:
        raise UnlearnError(f"{called} must be on or off, not {str(value)[:40]!r}.")
    return known[text]
