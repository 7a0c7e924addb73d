"""The erasers that the accordion offers: those of the tab's folder, and those among the host's LoRA files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

import torch
from modules import paths, shared

from lora_unlearn import Adapter, UnlearnError
from lora_unlearn.opened import LOADED
from lora_unlearn.sets import HEADS, SUFFIX, Choice, Member, files_in, sets_of


def folder() -> Path:
    """The tab's own erasers."""
    return Path(paths.models_path) / "lora-unlearn"


def lora_folder() -> Path:
    """Where the host looks for LoRA files first."""
    several = getattr(shared.cmd_opts, "lora_dirs", None) or [None]
    return Path(getattr(shared.cmd_opts, "lora_dir", None) or several[0] or Path(paths.models_path) / "Lora")


class Shelf:
    """Finished erasers by name; a file in the tab's folder goes before a LoRA file of the same name.

    Args:
        folders: where to look, the most important one last.
    """

    def __init__(self, folders: Callable[[], list[Path]]) -> None:
        self.folders = folders

    def members(self) -> list[Member]:
        """All erasers as a set, those that can't be used included."""
        found = {name: path for place in self.folders() for name, path in files_in(place) if _offered(name)}
        return HEADS.of(found.items())

    def names(self) -> list[str]:
        """The names of all erasers, in their order."""
        return sorted(member.name for member in self.members() if _finished(member))

    def offered(self) -> list[str]:
        """What the accordion offers: all, all in each folder, each eraser."""
        usable = [member for member in self.members() if _finished(member)]
        return [*sets_of(usable), *sorted(member.name for member in usable)]

    def chosen(self, words: str) -> list[Member]:
        """Those of the erasers that a set's words mean.

        Raises:
            UnlearnError: if there are none.
        """
        members = self.members()
        if not members:
            raise UnlearnError("There are no erasers yet; make one in the tab Erase concept.")
        return Choice.of(words).of_all(members)

    def file(self, name: str) -> Path:
        """The file of a name, looked for where the name says and nowhere else: a LoRA folder may hold thousands.

        Raises:
            UnlearnError: if there is none of that name any more.
        """
        for place in reversed(self.folders() if _offered(name) else []):
            path = place / f"{name}{SUFFIX}"
            if self.is_eraser(path):
                return path
        raise UnlearnError(f"There is no eraser {name[:60]!r} any more; choose another one in the list.")

    def load(self, name: str) -> Adapter:
        """The eraser of a name; read again when its file has changed.

        Raises:
            UnlearnError: if there is none of that name any more, or its file is damaged.
        """
        return self.read(self.file(name))

    def read(self, path: Path) -> Adapter:
        """The eraser in a file, kept in memory for a while.

        Raises:
            UnlearnError: if the file is gone or damaged.
        """
        return LOADED.read(path)

    def is_eraser(self, path: Path) -> bool:
        """Whether a file is a finished eraser; its head is read once, and again when it changes."""
        return _finished(HEADS.read(path.stem, path))


def _finished(member: Member) -> bool:
    return member.ours and not member.problem and not member.partial


def _offered(name: str) -> bool:
    """Whether a name can be in the list: it leads out of no folder, and into no hidden one or the trash."""
    parts = PurePosixPath(name).parts
    odd = not parts or name.startswith("/") or "\\" in name or ":" in name or name != "/".join(parts)
    return not odd and not any(part.startswith(".") or part == "trash" for part in parts)


def same(one: Adapter, other: Adapter) -> bool:
    """Whether two erasers change the model alike, whatever their files are called."""
    mine, theirs = one.lora.state_dict(), other.lora.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


SHELF = Shelf(lambda: [lora_folder(), folder()])
