"""A set of erasers read into memory: what can't be used is left out and told of, the others work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from .adapter import Adapter
from .errors import UnlearnError
from .guidance import Eraser, Mode
from .sets import HEADS, Choice, Member, Stamp, files_in, groups_of

MOST_KEPT = 512 * 2**20
"""Bytes of files whose erasers stay in memory."""
SHOWN = 5
"""Names in a line."""


class Loaded:
    """Erasers in memory by their files: those used last, up to a size."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        self.most = most
        self._kept: dict[Path, tuple[Stamp, Adapter]] = {}
        self._lock = threading.Lock()  # pages and programs ask from threads of their own

    def read(self, path: Path) -> Adapter:
        """The eraser in a file; read again when the file has changed.

        Raises:
            UnlearnError: if the file is gone, damaged, or no eraser.
        """
        try:
            status = path.stat()
        except OSError as error:
            raise UnlearnError(f"{path.name} could not be read ({error.strerror}); choose another eraser.") from error
        stamp = status.st_mtime_ns, status.st_size
        with self._lock:
            known = self._kept.pop(path, None)
            if known is None or known[0] != stamp:
                with torch.inference_mode(False):
                    known = stamp, Adapter.load(path)
            self._kept[path] = known
            self._let_go()
        return known[1]

    def _let_go(self) -> None:
        held = sum(size for (_, size), _ in self._kept.values())
        while held > self.most and len(self._kept) > 1:
            (_, size), _ = self._kept.pop(next(iter(self._kept)))
            held -= size


LOADED = Loaded()
"""Of every file that this program has opened."""


@dataclass(frozen=True)
class Opened:
    """The erasers of a set that work.

    Attributes:
        members: their files.
        erasers: in the same order.
        left_out: names of those that can't be used, by the reason.
    """

    members: list[Member]
    erasers: list[Eraser]
    left_out: dict[str, list[str]]

    def lines(self) -> list[str]:
        """How many are on, group by group, then what was left out and why."""
        count, groups = len(self.erasers), groups_of(self.members)
        parts = ", ".join(f"{group or 'no group'} {number}" for group, number in groups.items())
        on = f"{count} eraser{' is' if count == 1 else 's are'} on{f': {parts}' * any(groups)}"
        return [on, *(f"left out: {shortened(names)} ({reason})" for reason, names in self.left_out.items())]


def shortened(names: Sequence[str], most: int = SHOWN) -> str:
    """Some names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def open_set(
    members: Sequence[Member],
    family: str,
    strength: float = 1.0,
    mode: Mode = "auto",
    check: Callable[[Adapter], None] = lambda adapter: None,
) -> Opened:
    """Read the members that fit a model; of an eraser that is there twice, under two names, the first alone.

    Args:
        members: as `sets.Choice` gives them.
        family: of the model, a name in `lora_unlearn.families.FAMILIES`.
        strength, mode: of each, as in `Eraser`.
        check: the host's own look at an eraser; what it raises leaves the eraser out.

    Raises:
        UnlearnError: if not one can be used, with the reason that most have.
    """
    used, erasers, left_out = list[Member](), list[Eraser](), dict[str, list[str]]()
    marks = set[str]()
    for member in members:
        reason = unfit(member, family) or ("the same eraser under another name" if member.mark in marks else "")
        try:
            if not reason:
                adapter = LOADED.read(member.path)
                check(adapter)
                used.append(member)
                marks.add(member.mark)
                erasers.append(Eraser(adapter, strength, mode))
        except UnlearnError as error:
            reason = str(error)
        if reason:
            left_out.setdefault(reason.rstrip("."), []).append(member.name)
    if not erasers:
        if not left_out:
            raise UnlearnError("The set holds no eraser; choose a folder that does.")
        reason, names = max(left_out.items(), key=lambda item: len(item[1]))
        raise UnlearnError(
            f"None of the set's {len(members)} erasers can be used ({shortened(names, 1)}: {reason}); choose others."
        )
    return Opened(used, erasers, left_out)


def unfit(member: Member, family: str) -> str:
    """Why a file can't work on a model of a family, as far as its head tells; "" where it can."""
    if member.problem or member.partial:
        return member.problem or "its training was not finished"
    return "" if member.family == family else f"made for {member.family}, the loaded model is {family}"


def folder_members(folder: str | Path, only: str = "", without: str = "") -> list[Member]:
    """The erasers in a folder that words choose (`sets.Choice`).

    Raises:
        UnlearnError: if the folder holds none, or the words mean none.
    """
    members = HEADS.of(files_in(Path(folder)))
    if not members:
        raise UnlearnError(f"There are no erasers in {folder}; name a folder that erase --concepts has written.")
    return Choice.of(only, without).of_all(members)
