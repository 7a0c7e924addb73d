"""The erasers on disk: listed, renamed, moved to the trash, exported, merged. Every name stays inside its folder."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lora_unlearn import Adapter, Concept, UnlearnError
from lora_unlearn.adapter import KEY, parse_metadata
from lora_unlearn.files import file_name, inside, read_metadata, write_safetensors
from lora_unlearn.formats import save_peft, to_diffusers, to_stock
from lora_unlearn.join import concepts_of, joined
from lora_unlearn.written import Written, check_replaceable, marked, written_for

from .host import Host

SUFFIX = ".safetensors"
TRASH = "trash"
TITLE = "modelspec.title"
ELSEWHERE = "choose another name"
FORMATS = ("kohya", "diffusers", "peft")
"""Of exported files; the first is the one that web UIs load."""


MOST_AVOIDED = 50
"""How many of the erasers that are there a new one heeds."""


@dataclass(frozen=True)
class Entry:
    """An eraser in the list.

    Attributes:
        name: of its file, without the ending.
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


class Library:
    """The erasers of a host."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def path(self, name: str | None) -> Path:
        """Where an eraser of that name is, or would be.

        Raises:
            UnlearnError: if the name is empty, or no file name.
        """
        if not name or not name.strip():
            raise UnlearnError("No eraser is selected; choose one in the list first.")
        return inside(self.host.erasers, f"{name.strip().removesuffix(SUFFIX)}{SUFFIX}")

    def existing(self, name: str | None) -> Path:
        """The file of an eraser that is there.

        Raises:
            UnlearnError: if there is none of that name any more.
        """
        path = self.path(name)
        if not path.is_file() or path.is_symlink():
            raise UnlearnError(f"There is no eraser {path.stem!r} any more; choose another one.")
        return path

    def load(self, name: str | None) -> Adapter:
        """Read an eraser.

        Raises:
            UnlearnError: if it is not there, damaged, or not one of ours.
        """
        return Adapter.load(self.existing(name))

    def entries(self) -> list[Entry]:
        """All files in the folder, the latest first; those that are no erasers say why."""
        folder = self.host.erasers
        paths = [path for path in folder.glob(f"*{SUFFIX}") if path.is_file() and not path.is_symlink()]
        found = [_entry(path) for path in paths if not path.name.startswith(".")]
        return sorted(found, key=lambda entry: (-entry.changed, entry.name))

    def names(self) -> list[str]:
        """The names of all usable erasers, the latest first."""
        return [entry.name for entry in self.entries() if not entry.problem]

    def unfinished(self) -> list[str]:
        """The names of those whose training was interrupted, the latest first."""
        return [entry.name for entry in self.entries() if entry.partial and not entry.problem]

    def erased(self, concept: Concept) -> tuple[str, ...]:
        """What other erasers here erase, `MOST_AVOIDED` at most, the latest first: no concept shall become another."""
        names = [entry.concept for entry in self.entries() if not entry.problem and entry.concept]
        mine = {word.lower() for word in (*concept.words, *concept.keep)}
        return tuple(name for name in dict.fromkeys(names) if name.lower() not in mine)[:MOST_AVOIDED]

    def free_name(self, words: str) -> str:
        """A name that no eraser has yet."""
        name, number = file_name(words), 1
        unique = name
        while self.path(unique).exists():
            number += 1
            unique = f"{name} {number}"
        return unique

    def rename(self, name: str | None, new: str) -> str:
        """Give an eraser another name; returns it.

        Raises:
            UnlearnError: if it is taken, no file name, or the folder can't be written to.
        """
        path = self.existing(name)
        if not new.strip():
            raise UnlearnError("The new name is empty; type one.")
        target = self.path(new)
        if target.exists():
            raise UnlearnError(f"There is an eraser {target.stem!r} already; choose another name.")
        _move(path, target)
        self.host.changed(path)
        self.host.changed(target)
        return target.stem

    def trash(self, name: str | None) -> Path:
        """Move an eraser to the trash folder beside the others; returns where it is now.

        Raises:
            UnlearnError: if it is not there, or can't be moved.
        """
        path = self.existing(name)
        target = _free(path.parent / TRASH / path.name)
        _move(path, target)
        self.host.changed(path)
        return target

    def restore(self, name: str) -> str:
        """Take an eraser out of the trash again; returns its name, another one where its own is taken by now.

        Args:
            name: of its file in the trash, as `trash` gives it, without the ending.

        Raises:
            UnlearnError: if it is not there, or can't be moved.
        """
        path = inside(self.host.erasers / TRASH, f"{name or 'eraser'}{SUFFIX}")
        if not name or not path.is_file() or path.is_symlink():
            raise UnlearnError(f"There is no eraser {name!r} in the trash any more; it can't be brought back.")
        target = _free(self.host.erasers / path.name)
        _move(path, target)
        self.host.changed(target)
        return target.stem

    def export(self, name: str | None, new: str, kind: str = "kohya") -> Path:
        """Write an eraser where the host looks for LoRA files; returns the file (for peft the folder).

        Raises:
            UnlearnError: if it is unfinished, the place is taken by something else, or can't be written to.
        """
        adapter = self.load(name)
        if adapter.partial:
            raise UnlearnError(f"The training of {name!r} was not finished; press Resume before you export it.")
        written = written_for("eraser" if kind == "kohya" else kind, adapter)
        path = self._place(new.strip() or f"erase {name}", kind, written)
        title = {"format": "pt", TITLE: adapter.metadata()[TITLE]}
        if kind == "kohya":
            adapter.save(path)
        elif kind == "diffusers":
            write_safetensors(path, to_diffusers(adapter.lora, adapter.family), marked(title, written))
        else:
            save_peft(adapter.lora, path, marked(title, written))
        self.host.changed(path)
        return path

    def merge(self, names: Sequence[str], strengths: Sequence[float], new: str, method: str = "stack") -> Path:
        """Write several erasers as one ordinary LoRA without a gate, by a method of `MERGES`; returns the file.

        Raises:
            UnlearnError: if they can't be joined, or the file can't be written.
        """
        adapters = [self.load(name) for name in names]
        lora, metadata = joined(list(zip(adapters, strengths or [1.0] * len(adapters), strict=True)), method)
        written = Written("merged", concepts_of(adapters), adapters[0].family)
        path = self._place(new.strip() or "erase several", "merged", written)
        write_safetensors(path, to_stock(lora, adapters[0].family), marked(metadata, written))
        self.host.changed(path)
        return path

    def _place(self, name: str, kind: str, written: Written) -> Path:
        """Where an exported file goes; what is there already is replaced only if it is an older one of the same."""
        if kind not in (*FORMATS, "merged"):
            raise UnlearnError(f"There is no format {kind!r}; choose one of {', '.join(FORMATS)}.")
        stem = name.removesuffix(SUFFIX)
        path = inside(self.host.exports, stem if kind == "peft" else stem + SUFFIX)
        if path.is_symlink():
            raise UnlearnError(f"{path.name} in {path.parent} is a link to another place; {ELSEWHERE}.")
        check_replaceable(path, written, remedy=ELSEWHERE)
        return path


def _entry(path: Path) -> Entry:
    """What the head of a file says; reads no tensors."""
    try:
        status, metadata = path.stat(), read_metadata(path)
        if KEY not in metadata:
            return Entry(path.stem, problem=f"{path.name} is not one of our erasers; move it to another folder.")
        values = parse_metadata(metadata, path)
    except UnlearnError as error:
        return Entry(path.stem, problem=str(error))
    except OSError as error:
        return Entry(path.stem, problem=f"{path.name} could not be read ({error.strerror}).")
    return Entry(
        path.stem, values["concept"]["name"], values["family"], values.get("partial") is True,
        status.st_size, status.st_mtime,
    )  # fmt: skip


def _free(path: Path) -> Path:
    """The path, or one beside it with a number where it is taken."""
    target, number = path, 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.stem} {number}{path.suffix}")
    return target


def _move(path: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, target)
    except OSError as error:
        raise UnlearnError(
            f"{path.name} could not be moved ({error.strerror}); check the folder's permissions and free space."
        ) from error
