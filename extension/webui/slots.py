"""The accordion's values: from the page, the API or an X/Y/Z plot to erasers, to infotext and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lora_unlearn import Eraser, UnlearnError
from lora_unlearn.guidance import STRONGEST
from lora_unlearn.opened import Opened, open_set
from lora_unlearn.sets import EVERY, HEADS, pinned, unpinned

from .erasers import SHELF

NONE = "none"
GATES = ("auto", "on", "off")
WIDTH = 3
"""Values of one slot: eraser, strength, gate."""
PARTS = ("", "strength", "gate")
"""Their names in an infotext, after the slot's own."""
AXES = "lora_unlearn_axes"
"""Attribute of a job that holds what an X/Y/Z plot sets, in place of the accordion's own values."""


@dataclass(frozen=True)
class Slot:
    """One eraser of the accordion, or a set of them.

    Attributes:
        name: an eraser's; or a set's words, which have a * in them, with what they meant where an infotext has them.
    """

    name: str
    strength: float = 1.0
    gate: str = "auto"

    @property
    def works(self) -> bool:
        """Whether it attaches anything."""
        return self.name != NONE and self.strength != 0 and self.gate != "off"

    @property
    def is_set(self) -> bool:
        """Whether it stands for several erasers."""
        return EVERY in self.name

    def open(self, family: Callable[[], str], taken: Collection[Path]) -> Opened:
        """The erasers to sample under.

        Args:
            family: tells that of the loaded model; asked for a set alone, which leaves out what does not fit.
            taken: files that other slots name, which a set leaves to them.

        Raises:
            UnlearnError: if its file is gone, or damaged; of a set, if not one can be used.
        """
        if self.is_set:
            members = [member for member in SHELF.chosen(unpinned(self.name)[0]) if member.path not in taken]
            return open_set(members, family(), self.strength, self.gate)  # type: ignore[arg-type]
        path = SHELF.file(self.name)
        eraser = Eraser(SHELF.read(path), self.strength, self.gate)  # type: ignore[arg-type]
        return Opened([HEADS.read(self.name, path)], [eraser], {})

    def now(self) -> tuple[Slot, str]:
        """The slot with what its words mean now, and a sentence if they meant something else in the infotext.

        Raises:
            UnlearnError: if a set's words mean nothing any more.
        """
        if not (self.is_set and self.works):
            return self, ""
        words, known = unpinned(self.name)
        text = pinned(words, SHELF.chosen(words))
        changed = known and known != unpinned(text)[1]
        return replace(self, name=text), f"The set {self.name} has changed since: it is {text} now." if changed else ""


def slots_of(values: Sequence[Any], axes: Mapping[str, Any]) -> list[Slot]:
    """The slots that hold an eraser.

    Args:
        values: whether erasing is on, then for each slot its eraser, strength and gate; what is missing is empty.
        axes: values of an X/Y/Z plot by name ("eraser", "strength", "gate"); the eraser is the first slot's.

    Raises:
        UnlearnError: naming the value that is wrong.
    """
    enabled, rest = bool(values[0]) if values else False, list(values[1:])
    groups = [rest[start : start + WIDTH] for start in range(0, len(rest), WIDTH)] or [[]]
    if not enabled and not axes:
        return []
    if "eraser" in axes:
        groups[0][:1] = [axes["eraser"]]
    slots = [_slot(*group) for group in groups if group and group[0] not in (None, "", NONE)]
    return [_changed(slot, axes) for slot in slots]


def _changed(slot: Slot, axes: Mapping[str, Any]) -> Slot:
    return _slot(slot.name, axes.get("strength", slot.strength), axes.get("gate", slot.gate))


def _slot(name: Any, strength: Any = 1.0, gate: Any = "auto") -> Slot:
    try:
        number = float(strength)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    of = f"of the eraser {str(name)[:60]!r}"
    if not 0 <= number <= STRONGEST:
        raise UnlearnError(f"The strength {of} must be a number from 0 to {STRONGEST:g}, not {_short(strength)}.")
    if gate not in GATES:
        raise UnlearnError(f"The gate {of} must be one of {', '.join(GATES)}, not {_short(gate)}.")
    return Slot(str(name), number, gate)


def _short(value: Any) -> str:
    """A value as it was sent, or what kind of value it is where that would fill the page."""
    told = repr(value) if isinstance(value, (str, float)) else type(value).__name__
    return told if len(told) <= 60 else f"{told[:60]}..."


def key(number: int, part: str = "") -> str:
    """The infotext's name for a slot's value; `number` counts from 1."""
    return f"Eraser {number} {part}".strip()


def infotext_of(slots: Sequence[Slot]) -> dict[str, str]:
    """What the infotext says of the slots."""
    found = {}
    for number, slot in enumerate(slots, 1):
        found[key(number)] = slot.name
        found[key(number, "strength")] = f"{slot.strength:g}"
        found[key(number, "gate")] = slot.gate
    return found


Infotext = Mapping[str, Any]


def pasted_enabled(params: Infotext) -> bool:
    """Whether a pasted infotext was made under erasers."""
    return key(1) in params


def pasted(number: int, part: str, empty: Any) -> Callable[[Infotext], Any]:
    """A reader of one value of a pasted infotext; None leaves the page as it is."""

    def read(params: Infotext) -> Any:
        if not pasted_enabled(params):
            return None
        return params.get(key(number, part), empty)

    return read
