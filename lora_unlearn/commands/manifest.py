"""The table that tells what became of every concept of a list."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..adapter import Adapter
from ..claims import claimed
from ..concept import Concept
from ..errors import UnlearnError
from ..files import below, file_name, write_text
from ..gate import Gate
from ..strict import read_json
from ..written import called
from .concept_list import GROUP


class Manifest:
    """What became of every concept, as a table in JSON that is written anew after each, by any process.

    Args:
        path: of the table.
        groups: of concepts, by what they are called; a group's files lie in a folder of its name.
    """

    def __init__(self, path: Path, groups: Mapping[str, str]) -> None:
        self.path, self.groups, self.rows = path, groups, dict(_rows(path))

    def place(self, concept: Concept) -> Path:
        """Where a concept's eraser is, or will be; one that was in another group before is moved.

        Raises:
            UnlearnError: if it can't be moved.
        """
        own = called(concept)
        path = self.path.parent / self.groups.get(own, "") / f"{file_name(own)}.safetensors"
        before = below(self.path.parent, str(self.rows.get(own, {}).get("file", path.name)))
        if before.name == path.name and before.is_file() and not path.exists():
            try:
                path.parent.mkdir(exist_ok=True)
                before.rename(path)
            except OSError as error:
                raise UnlearnError(f"{before} could not be moved to {path.parent} ({error.strerror}).") from error
        return path

    def file(self, concept: Concept) -> str:
        """The name of a concept's eraser below the folder."""
        return self.place(concept).relative_to(self.path.parent).as_posix()

    def note(self, concept: Concept, **facts: Any) -> None:
        """Say what became of one."""
        self.note_all([(concept, facts)])

    def note_all(self, found: Sequence[tuple[Concept, dict[str, Any]]], more: bool = False) -> None:
        """Say what became of some, beside what other processes have written meanwhile.

        Args:
            more: what the file says of them stays, where nothing else is said.
        """
        with claimed(self.path.with_name(f".{self.path.name}.claim"), wait=True):
            self.rows = dict(_rows(self.path))
            for concept, facts in found:
                before = self.rows.get(called(concept), {}) if more else {}
                own = called(concept)
                group = {GROUP: self.groups[own]} if own in self.groups else {}
                self.rows[own] = {"concept": own, **group, **before, **facts}
            write_text(self.path, json.dumps(list(self.rows.values()), indent=1, ensure_ascii=False) + "\n")

    def done(self, concepts: Sequence[Concept]) -> list[str]:
        """Those of the concepts that have a file."""
        self.rows = dict(_rows(self.path))
        return [called(c) for c in concepts if "file" in self.rows.get(called(c), {})]


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of an older manifest.

    Raises:
        UnlearnError: if the file is none.
    """
    if not path.exists():
        return
    try:
        yield from ((str(found["concept"]), dict(found)) for found in read_json(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UnlearnError(f"{path} was not made by this program; choose another folder.") from error


def facts(file: str, adapter: Adapter, seconds: float) -> dict[str, Any]:
    """What the manifest says of an eraser in a file."""
    return {
        "file": file,
        "seconds": round(seconds, 2),
        "instead": adapter.instead,
        **gate_facts(adapter.gate),
    }


def gate_facts(gate: Gate) -> dict[str, Any]:
    """What the manifest says of a gate."""
    return {"opens": gate.true_open_rate, "false_open_rate": gate.false_open_rate, "shared_by": gate.shared_by}
