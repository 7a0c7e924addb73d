"""The erasers that the accordion offers: those of the tab's folder, and those among the host's LoRA files."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import torch
from modules import paths, shared

from lora_unlearn import Adapter, UnlearnError
from lora_unlearn.adapter import KEY, parse_metadata
from lora_unlearn.files import read_metadata

SUFFIX = ".safetensors"
KEPT = 8
"""Erasers that stay in memory."""
Stamp = tuple[int, int]


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
        self._known: dict[Path, tuple[Stamp, bool]] = {}
        self._loaded: dict[Path, tuple[Stamp, Adapter]] = {}
        self._lock = threading.Lock()  # the page and the API ask from threads of their own

    def names(self) -> list[str]:
        """The names of all erasers, in their order."""
        found = set()
        for place in self.folders():
            for path in place.rglob(f"*{SUFFIX}") if place.is_dir() else ():
                name = path.relative_to(place).with_suffix("").as_posix()
                if _offered(name) and self.is_eraser(path):
                    found.add(name)
        return sorted(found)

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
        try:
            stamp = _stamp(path)
        except OSError as error:
            raise UnlearnError(f"{path.name} could not be read ({error.strerror}); choose another eraser.") from error
        with self._lock:
            known = self._loaded.pop(path, None)
            if known is None or known[0] != stamp:
                with torch.inference_mode(False):
                    known = stamp, Adapter.load(path)
            self._loaded[path] = known
            while len(self._loaded) > KEPT:
                self._loaded.pop(next(iter(self._loaded)))
        return known[1]

    def is_eraser(self, path: Path) -> bool:
        """Whether a file is a finished eraser; its head is read once, and again when it changes."""
        try:
            stamp = _stamp(path)
            with self._lock:
                known = self._known.get(path)
            if known is None or known[0] != stamp:
                metadata = read_metadata(path)
                known = stamp, KEY in metadata and parse_metadata(metadata, path).get("partial") is not True
                with self._lock:
                    self._known[path] = known
        except (UnlearnError, OSError, ValueError):
            return False
        return known[1]


def _offered(name: str) -> bool:
    """Whether a name can be in the list: it leads out of no folder, and into no hidden one or the trash."""
    parts = PurePosixPath(name).parts
    odd = not parts or name.startswith("/") or "\\" in name or ":" in name or name != "/".join(parts)
    return not odd and not any(part.startswith(".") or part == "trash" for part in parts)


def same(one: Adapter, other: Adapter) -> bool:
    """Whether two erasers change the model alike, whatever their files are called."""
    mine, theirs = one.lora.state_dict(), other.lora.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


SHELF = Shelf(lambda: [lora_folder(), folder()])
