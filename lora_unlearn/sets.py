"""Sets of erasers: a folder that holds many, known by the heads of its files; its groups; a choice of some in words.

The folders in it are its groups. Words choose: names of files, concepts or groups, with * and ? for any letters,
separated by commas; a word behind a minus leaves out. `opened.py` reads what was chosen.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from .adapter import KEY, parse_metadata
from .errors import UnlearnError
from .files import read_metadata

SUFFIX = ".safetensors"
TRASH = "trash"
"""A folder whose files are in no set."""
EVERY = "*"
DEEPEST = 8
"""Folders in folders that are looked into."""
DIGITS = 8
_PINNED = re.compile(rf"(.*\S)\s*\((\d{{1,9}}) erasers?, ([0-9a-f]{{{DIGITS}}})\)")
Stamp = tuple[int, int]


@dataclass(frozen=True)
class Member:
    """A file, by its head alone.

    Attributes:
        name: below the folder, without the ending: "artists/van gogh".
        path: where it lies.
        stamp: when it was changed (ns since the epoch), and its size in bytes.
        ours: whether it is an eraser, or may be one that is damaged; an ordinary LoRA is none.
        concept, family: as the head says; "" where it can't be read.
        partial: its training was interrupted.
        mark: tells it from every other eraser, whatever the file is called and wherever it lies.
        problem: why it can't be used, in a sentence; "" if it can.
    """

    name: str
    path: Path
    stamp: Stamp = (0, 0)
    ours: bool = True
    concept: str = ""
    family: str = ""
    partial: bool = False
    mark: str = ""
    problem: str = ""

    @property
    def group(self) -> str:
        """The first of the folders that it lies in; "" where it lies in none."""
        return self.name.partition("/")[0] if "/" in self.name else ""

    @property
    def folders(self) -> list[str]:
        """All of them: "a" and "a/b" of "a/b/cat"."""
        return [parent.as_posix() for parent in PurePosixPath(self.name).parents][:-1]


def files_in(folder: Path, deepest: int = DEEPEST) -> Iterator[tuple[str, Path]]:
    """Names and paths of what may be erasers in a folder and the folders in it, down to some depth (0: none of them).

    The trash and what is hidden is left out; links to folders are not followed.
    """
    for place, folders, files in os.walk(folder):
        below = Path(place).relative_to(folder)
        deep = len(below.parts) >= deepest
        folders[:] = [] if deep else [name for name in folders if name != TRASH and not name.startswith(".")]
        for file in files:
            path = Path(place, file)
            if file.endswith(SUFFIX) and not file.startswith(".") and path.is_file():
                yield (below / file).as_posix().removesuffix(SUFFIX), path


def counts(name: str) -> bool:
    """Whether a file of that name below a folder is in a set: it is not hidden, nor in the trash."""
    *folders, file = name.split("/")
    return TRASH not in folders and not any(part.startswith(".") for part in (*folders, file))


class Heads:
    """What the heads of files say; each is read once, and again when its file has changed."""

    def __init__(self) -> None:
        self._known: dict[Path, Member] = {}
        self._lock = threading.Lock()  # pages and programs ask from threads of their own

    def read(self, name: str, path: Path) -> Member:
        """A file under a name."""
        try:
            status = path.stat()
        except OSError as error:
            return Member(name, path, problem=f"{path.name} could not be read ({error.strerror}).")
        stamp = status.st_mtime_ns, status.st_size
        with self._lock:
            known = self._known.get(path)
        if known is None or known.stamp != stamp:
            known = _read(name, path, stamp)
            with self._lock:
                self._known[path] = known
        return replace(known, name=name)

    def of(self, files: Iterable[tuple[str, Path]]) -> list[Member]:
        """The erasers among files, in the order of their names; those that are damaged say why."""
        found = [self.read(name, path) for name, path in files]
        return sorted((member for member in found if member.ours), key=lambda member: member.name.lower())


def _read(name: str, path: Path, stamp: Stamp) -> Member:
    try:
        metadata = read_metadata(path)
        if KEY not in metadata:
            return Member(
                name, path, stamp, ours=False,
                problem=f"{path.name} is not one of our erasers; move it to another folder.",
            )  # fmt: skip
        values = parse_metadata(metadata, path)
    except UnlearnError as error:
        return Member(name, path, stamp, problem=str(error))
    mark = hashlib.sha256(metadata[KEY].encode()).hexdigest()
    partial = values.get("partial") is True
    return Member(name, path, stamp, True, values["concept"]["name"], values["family"], partial, mark)


HEADS = Heads()
"""Of every file that this program has looked at."""


@dataclass(frozen=True)
class Choice:
    """Which members of a set are meant: all where `only` is empty, but for those that `without` says."""

    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    @classmethod
    def of(cls, only: str = "", without: str = "") -> Choice:
        """A choice from words separated by commas; in `only` a word behind a minus belongs to `without`."""
        words = _words(only)
        taken = tuple(word for word in words if not word.startswith("-"))
        left = tuple(word[1:].strip() for word in words if word.startswith("-"))
        return cls(taken, (*left, *_words(without)))

    def of_all(self, members: Sequence[Member]) -> list[Member]:
        """Those of the members that are meant.

        Raises:
            UnlearnError: if there are none, naming the words that nothing is called.
        """
        found = [member for member in members if self.means(member)]
        if members and not found:
            said = ", ".join(repr(word[:60]) for word in self.unknown(members))
            reason = f"No eraser here is called {said}" if said else "Every eraser here is left out"
            raise UnlearnError(f"{reason}; name files, concepts or groups, or patterns such as van*.")
        return found

    def unknown(self, members: Sequence[Member]) -> list[str]:
        """The words that mean no member."""
        return [word for word in (*self.only, *self.without) if not any(_means(word, each) for each in members)]

    def means(self, member: Member) -> bool:
        """Whether a member is meant."""
        wanted = not self.only or any(_means(word, member) for word in self.only)
        return wanted and not any(_means(word, member) for word in self.without)


def _words(text: str) -> list[str]:
    return [word for part in text.split(",") if (word := part.strip())]


def _means(word: str, member: Member) -> bool:
    """Whether a word is the name, the file's own name, the concept or a folder of a member."""
    letters = re.escape(word.lower().rstrip("/")).replace(r"\*", ".*").replace(r"\?", ".")
    places = [name for folder in member.folders for name in (folder, PurePosixPath(folder).name)]
    names = (member.name, PurePosixPath(member.name).name, member.concept, *places)
    return any(re.fullmatch(letters, name.lower(), re.DOTALL) for name in names)


def searched(members: Sequence[Member], text: str) -> list[Member]:
    """Members that a search finds: each word may stand anywhere in a name, a concept or a group."""
    choice = Choice(tuple(f"*{word}*" for word in _words(text)))
    return [member for member in members if choice.means(member)]


def groups_of(members: Sequence[Member]) -> dict[str, int]:
    """The groups of a set and how many erasers each has; "" are those in none."""
    counted = Counter(member.group for member in members)
    return {group: counted[group] for group in sorted(counted, key=str.lower)}


def folders_of(members: Sequence[Member]) -> list[str]:
    """Every folder that erasers lie in, however deep."""
    return sorted({folder for member in members for folder in member.folders}, key=str.lower)


def words_for(groups: Iterable[str], on: Collection[str]) -> str:
    """The words that choose some of a set's groups: "*" for all of them, "" for none."""
    known = list(groups)
    off = [group for group in known if group not in on]
    if not off:
        return EVERY
    if "" in on:
        return ", ".join([EVERY, *(f"-{_all_of(group)}" for group in off)])
    return ", ".join(_all_of(group) for group in known if group in on)


def _all_of(folder: str) -> str:
    """The word that means everything in a folder; a comma in its name would part it."""
    return f"{folder.replace(',', '?')}/{EVERY}"


def sets_of(members: Sequence[Member]) -> list[str]:
    """The words for all erasers, and for all in each folder: what a list offers beside single erasers."""
    return [EVERY, *map(_all_of, folders_of(members))] if members else []


def digest(members: Sequence[Member]) -> str:
    """Eight digits that change when an eraser of a set comes, goes, is renamed or is made anew."""
    lines = sorted(f"{member.name}\0{member.mark}" for member in members)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:DIGITS]


def pinned(words: str, members: Sequence[Member]) -> str:
    """Words with what they mean now: "artists/* (40 erasers, 1a2b3c4d)"."""
    return f"{words} ({len(members)} eraser{'s' * (len(members) != 1)}, {digest(members)})"


def unpinned(text: str) -> tuple[str, str]:
    """The words of what `pinned` wrote, and the digest that they had; "" where there is none."""
    found = _PINNED.fullmatch(text.strip())
    return (found[1], found[3]) if found else (text.strip(), "")
