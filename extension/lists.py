"""What the page shows of many erasers, as HTML: the table, what is switched on, lines of a set."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from lora_unlearn.report.markup import table, tag

from .entries import Entry
from .panels import box

NOTHING = "There are no erasers yet; the page Erase makes one."
NOT_FOUND = "The search finds none of your erasers."


def erasers(entries: Sequence[Entry], off: Collection[str] = (), searched: bool = False) -> str:
    """The library, or what a search found of it, as a table; `off` are groups that are switched off."""
    if not entries:
        return box(tag("div", tag("p", NOT_FOUND if searched else NOTHING), class_="empty"))
    usable = [
        [entry.name, f"erases {entry.concept}", entry.family, _state(entry, off),
         f"{entry.size / 1000:.0f} kB", time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.changed))]
        for entry in entries if not entry.problem
    ]  # fmt: skip
    strange = [tag("p", entry.problem, class_="soft") for entry in entries if entry.problem]
    shown = table(["eraser", "what it does", "model", "state", "size", "changed"], usable) if usable else None
    return box(tag("div", shown, class_="long"), strange)


def _state(entry: Entry, off: Collection[str]) -> str:
    """In a word."""
    return "not finished" if entry.partial else "off" if entry.group in off else "ready"


def switched(count: int, total: int, words_: str) -> str:
    """How many erasers are on, and what they are called together."""
    if not words_:
        return box(tag("p", f"None of the {total} erasers is on.", class_="soft"))
    said = f"{count} of {total} erasers are on. To draw with all of these, choose "
    return box(tag("p", said, tag("code", words_), " as eraser.", class_="soft"))


def listed(lines: Sequence[str]) -> str:
    """Lines beneath each other."""
    return box([tag("p", line, class_="soft") for line in lines])
