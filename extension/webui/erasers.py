"""The erasers that the accordion offers: those of the tab's folder, and those among the host's LoRA files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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

    def files(self) -> dict[str, Path]:
        """The file of each eraser, by name, in the order of the names."""
        found = {}
        for place in self.folders():
            for path in place.rglob(f"*{SUFFIX}") if place.is_dir() else ():
                inner = path.relative_to(place)
                hidden = any(part.startswith(".") or part == "trash" for part in inner.parts)
                if not hidden and self._is_eraser(path):
                    found[inner.with_suffix("").as_posix()] = path
        return dict(sorted(found.items()))

    def names(self) -> list[str]:
        """The names of all erasers."""
        return list(self.files())

    def load(self, name: str) -> Adapter:
        """The eraser of a name; read again when its file has changed.

        Raises:
            UnlearnError: if there is none of that name any more, or its file is damaged.
        """
        path = self.files().get(name)
        if path is None:
            raise UnlearnError(f"There is no eraser {name!r} any more; choose another one in the list.")
        stamp, known = _stamp(path), self._loaded.pop(path, None)
        if known is None or known[0] != stamp:
            with torch.inference_mode(False):
                known = stamp, Adapter.load(path)
        self._loaded[path] = known
        while len(self._loaded) > KEPT:
            self._loaded.pop(next(iter(self._loaded)))
        return known[1]

    def _is_eraser(self, path: Path) -> bool:
        """Whether a file is a finished eraser; its head is read once, and again when it changes."""
        try:
            stamp = _stamp(path)
            if self._known.get(path, (None,))[0] != stamp:
                metadata = read_metadata(path)
                finished = KEY in metadata and parse_metadata(metadata, path).get("partial") is not True
                self._known[path] = stamp, finished
        except (UnlearnError, OSError):
            return False
        return self._known[path][1]


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


SHELF = Shelf(lambda: [lora_folder(), folder()])
