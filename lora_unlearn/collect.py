"""Erasers of one folder copied into another, as groups: a set made elsewhere comes to where a program looks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .errors import UnlearnError
from .files import below, file_name, write_bytes
from .opened import shortened
from .sets import HEADS, SUFFIX, Member, files_in
from .written import check_replaceable, written

DEEPEST = 1
"""Only the folders directly in a folder are groups: whoever names a whole disk does not have it searched."""
GROUP = "erasers"
"""Where the folder has no name to call the group by."""


@dataclass(frozen=True)
class Collected:
    """What was copied.

    Attributes:
        paths: the new files.
        left_out: names of those that were not, by the reason.
    """

    paths: list[Path]
    left_out: dict[str, list[str]]

    def __str__(self) -> str:
        left = [f"Left out: {shortened(names)} ({reason})." for reason, names in self.left_out.items()]
        count = len(self.paths)
        return " ".join([f"{count} eraser{'s are' if count != 1 else ' is'} here now.", *left])


def collect(source: Path, target: Path) -> Collected:
    """Copy the erasers in a folder and in the folders in it; loose ones become a group of the folder's own name.

    What is there already is replaced only by an eraser of the same concept for the same family.

    Raises:
        UnlearnError: if the folder holds no erasers but those of the target itself.
    """
    here = target.resolve()
    files = [(name, path) for name, path in files_in(source, DEEPEST) if not path.resolve().is_relative_to(here)]
    members = HEADS.of(files)
    if not members:
        raise UnlearnError(
            f"There are no erasers in {source} that are not here already; name one that erase --concepts has written."
        )
    paths, left_out = list[Path](), dict[str, list[str]]()
    for member in members:
        try:
            paths.append(_copy(member, source, target))
        except UnlearnError as error:
            left_out.setdefault(str(error).rstrip("."), []).append(member.name)
    return Collected(paths, left_out)


def _copy(member: Member, source: Path, target: Path) -> Path:
    """Copy one file.

    Raises:
        UnlearnError: if it can't be used, its place is taken, or it can't be written.
    """
    found = written(member.path)
    if member.problem or found is None:
        raise UnlearnError(member.problem or f"{member.path.name} is damaged.")
    own = file_name(source.resolve().name) if source.resolve().name else GROUP
    path = below(target, f"{member.name if member.group else f'{own}/{member.name}'}{SUFFIX}")
    check_replaceable(path, found, remedy="delete that one first")
    try:
        write_bytes(path, member.path.read_bytes())
    except OSError as error:
        raise UnlearnError(f"{member.path.name} could not be read ({error.strerror}).") from error
    return path
