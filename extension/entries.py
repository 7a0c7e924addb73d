"""An eraser as the list shows it."""

from __future__ import annotations

from dataclasses import dataclass

from lora_unlearn.sets import Member


@dataclass(frozen=True)
class Entry:
    """An eraser in the list.

    Attributes:
        name: of its file, without the ending; "artists/monet" in a group.
        concept, family: as its metadata say; "" where they can't be read.
        partial: its training was interrupted.
        size: bytes.
        changed: seconds since the epoch.
        problem: why it can't be used, in a sentence; "" if it can.
    """

    name: str
    concept: str = ""
    family: str = ""
    partial: bool = False
    size: int = 0
    changed: float = 0.0
    problem: str = ""

    @property
    def group(self) -> str:
        """The folder that it lies in; "" where it lies in none."""
        return self.name.partition("/")[0] if "/" in self.name else ""


def entry_of(member: Member) -> Entry:
    """What the head of a file says."""
    if member.problem:
        return Entry(member.name, problem=member.problem)
    changed, size = member.stamp
    return Entry(member.name, member.concept, member.family, member.partial, size, changed / 1e9)
