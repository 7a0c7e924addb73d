"""The erasers on disk: listed, renamed, moved to the trash, exported, merged. Every name stays inside its folder."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from lora_unlearn import Adapter, Concept, UnlearnError
from lora_unlearn.collect import Collected, collect
from lora_unlearn.files import file_name, inside, write_safetensors
from lora_unlearn.formats import save_peft, to_diffusers, to_stock
from lora_unlearn.join import concepts_of, joined
from lora_unlearn.sets import HEADS, SUFFIX, TRASH, Choice, Member, files_in, groups_of, searched, sets_of, words_for
from lora_unlearn.written import Written, check_replaceable, marked, written_for

from .entries import Entry, entry_of
from .host import Host

TITLE = "modelspec.title"
ELSEWHERE = "choose another name"
FORMATS = ("kohya", "diffusers", "peft")
"""Of exported files; the first is the one that web UIs load."""


MOST_AVOIDED = 50
"""How many of the erasers that are there a new one heeds."""


class Library:
    """The erasers of a host.

    Attributes:
        off: groups that are switched off, "" for the erasers in none.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self.off: set[str] = set()

    def path(self, name: str | None) -> Path:
        """Where an eraser of that name is, or would be.

        Raises:
            UnlearnError: if the name is empty, or no file name.
        """
        if not name or not name.strip():
            raise UnlearnError("No eraser is selected; choose one in the list first.")
        *groups, file = f"{name.strip().removesuffix(SUFFIX)}{SUFFIX}".split("/")
        folder = self.host.erasers
        for group in groups:
            folder = inside(folder, group)
            if group == TRASH or folder.is_symlink():
                raise UnlearnError(f"{group!r} can't be a group; it is a link, or the folder of deleted erasers.")
        return inside(folder, file)

    def name(self, path: Path) -> str:
        """What an eraser's file is called here."""
        return path.relative_to(self.host.erasers).as_posix().removesuffix(SUFFIX)

    def existing(self, name: str | None) -> Path:
        """The file of an eraser that is there.

        Raises:
            UnlearnError: if there is none of that name any more.
        """
        path = self.path(name)
        if not path.is_file() or path.is_symlink():
            raise UnlearnError(f"There is no eraser {self.name(path)!r} any more; choose another one.")
        return path

    def load(self, name: str | None) -> Adapter:
        """Read an eraser.

        Raises:
            UnlearnError: if it is not there, damaged, or not one of ours.
        """
        return Adapter.load(self.existing(name))

    def entries(self) -> list[Entry]:
        """All files in the folder and its groups, the latest first; those that are no erasers say why."""
        found = [entry_of(HEADS.read(name, path)) for name, path in self._files()]
        return sorted(found, key=lambda entry: (-entry.changed, entry.name))

    def found(self, text: str) -> list[Entry]:
        """Those entries that a search finds, in the same order."""
        if not text.strip():
            return self.entries()
        names = {member.name for member in searched(self.members(), text)}
        return [entry for entry in self.entries() if entry.name in names]

    def _files(self) -> list[tuple[str, Path]]:
        return [(name, path) for name, path in files_in(self.host.erasers) if not path.is_symlink()]

    def members(self) -> list[Member]:
        """The erasers as a set."""
        return HEADS.of(self._files())

    def switched_on(self) -> str:
        """The words for all erasers of the groups that are on: "*", "*, -artists/*", or "" for none."""
        groups = groups_of(self.members())
        return words_for(groups, [group for group in groups if group not in self.off])

    def offered(self) -> list[str]:
        """What can be chosen to draw with: what is on, all, all in a group, each finished eraser."""
        members = self.members()
        names = [entry.name for entry in self.entries() if not entry.problem]
        return list(dict.fromkeys([*filter(None, [self.switched_on()]), *sets_of(members), *names]))

    def take_in(self, folder: str) -> Collected:
        """Copy the erasers of a folder elsewhere into groups here.

        Raises:
            UnlearnError: if it holds none, or can't be read.
        """
        found = collect(Path(folder.strip()).expanduser(), self.host.erasers)
        for path in found.paths:
            self.host.changed(path)
        return found

    def chosen(self, words: str) -> list[Member]:
        """Those of the erasers that words mean, as `lora_unlearn.sets` says; a name means the eraser of that name.

        Raises:
            UnlearnError: if there are none.
        """
        if "*" not in words:
            return [HEADS.read(words, self.existing(words))]
        return Choice.of(words).of_all(self.members())

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
            raise UnlearnError(f"There is an eraser {self.name(target)!r} already; choose another name.")
        _move(path, target)
        self.host.changed(path)
        self.host.changed(target)
        return self.name(target)

    def trash(self, name: str | None) -> Path:
        """Move an eraser to the trash folder beside the others; returns where it is now.

        Raises:
            UnlearnError: if it is not there, or can't be moved.
        """
        path = self.existing(name)
        target = _free(self.host.erasers / TRASH / path.relative_to(self.host.erasers))
        _move(path, target)
        self.host.changed(path)
        return target

    def restore(self, name: str) -> str:
        """Take an eraser out of the trash again; returns its name, another one where its own is taken by now.

        Args:
            name: of its file below the trash, without the ending.

        Raises:
            UnlearnError: if it is not there, or can't be moved.
        """
        path = self.host.erasers / TRASH / self.path(name or "eraser").relative_to(self.host.erasers)
        if not name or not path.is_file() or path.is_symlink():
            raise UnlearnError(f"There is no eraser {name!r} in the trash any more; it can't be brought back.")
        target = _free(self.path(name))
        _move(path, target)
        self.host.changed(target)
        return self.name(target)

    def export(self, name: str | None, new: str, kind: str = "kohya") -> Path:
        """Write an eraser where the host looks for LoRA files; returns the file (for peft the folder).

        Raises:
            UnlearnError: if it is unfinished, the place is taken by something else, or can't be written to.
        """
        adapter = self.load(name)
        if adapter.partial:
            raise UnlearnError(f"The training of {name!r} was not finished; press Resume before you export it.")
        written = written_for("eraser" if kind == "kohya" else kind, adapter)
        path = self._place(new.strip() or f"erase {PurePosixPath(name or '').name}", kind, written)
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
