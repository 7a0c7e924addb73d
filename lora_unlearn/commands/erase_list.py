"""`lora-unlearn erase --concepts FILE`: an eraser for every line, resumable, with a manifest of what became of each."""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..adapter import Adapter
from ..checks import check_rate, check_words
from ..concept import Concept
from ..errors import UnlearnError
from ..files import below, file_name, inside, write_safetensors, write_text
from ..formats import to_stock
from ..hosts.diffusers import denoiser_for
from ..join import joined
from ..keep import unfinished_beside
from ..order import Order
from ..promise import Promise
from ..remembered import RememberingDenoiser
from ..strict import read_json
from ..training.methods import row
from ..written import Written, called, check_replaceable, marked
from .console import quiet, say
from .erase import erase_to, settings_for
from .models import check_size, open_model, output_folder, read_own, read_prompts
from .signals import INTERRUPTED

MANIFEST, TOGETHER = "erasers.json", "all.safetensors"
LISTS, TEXTS, GROUP = ("also", "keep"), ("replace_with", "of"), "group"
"""What may be said of a concept behind its name: words separated by commas, one phrase, and the folder of its file."""
MOST = 1000
"""Concepts in one list."""


def run(args: argparse.Namespace) -> int:
    """Run the command for a list.

    Raises:
        UnlearnError: if the list or the folder can't be used; a line that can't is passed over, and told of.
    """
    check_alone(args)
    settings = settings_for(args)
    concepts, problems = read_list(args.concepts)
    folder = output_folder(args.out)
    manifest = Manifest(folder / MANIFEST, read_groups(args.concepts))
    with quiet():
        pipe = open_model(args)
        size = (args.resolution,) * 2 if args.resolution else None
        denoiser: Any = RememberingDenoiser(denoiser_for(pipe, size))
        check_size(denoiser, size)
        for number, concept in enumerate(concepts, 1):
            say(f"{number} of {len(concepts)}: {called(concept)}")
            try:
                if not once(args, settings, denoiser, folder, concept, manifest):
                    return INTERRUPTED
            except UnlearnError as error:
                problems.append(f"{called(concept)}: {error}")
                manifest.note(concept, problem=str(error))
    if args.joint:
        join(folder, [manifest.place(concept) for concept in concepts])
    for problem in problems:
        say(f"not done: {problem}")
    say(f"{len(manifest.done(concepts))} of {len(concepts)} erasers are in {folder}; {MANIFEST} there tells of each.")
    return 1 if problems else 0


def check_alone(args: argparse.Namespace) -> None:
    """Refuse what is said of one concept beside a list of many.

    Raises:
        UnlearnError: naming the option.
    """
    for name in (*LISTS, *TEXTS, "avoid"):
        if getattr(args, name):
            option = name.replace("_", "-")
            raise UnlearnError(f"--{option} is said of one concept; write it into the list, behind a tab: {option}=...")
    if args.resume:
        raise UnlearnError("A list goes on where it was left by itself; leave --resume out.")


def read_list(path: str) -> tuple[list[Concept], list[str]]:
    """The concepts of a list, one a line, each knowing the others; and a sentence for every line that can't be used.

    Raises:
        UnlearnError: if there is no such file, it is no text, or no line can be used.
    """
    found: dict[str, Concept] = {}
    problems = []
    for number, line in enumerate(read_prompts(path), 1):
        try:
            concept = read_line(line)
            check_words(concept)
            name = file_name(called(concept)).lower()
            if name in found:
                raise UnlearnError(f"{called(concept)!r} stands there twice; take one out.")
            found[name] = concept
        except UnlearnError as error:
            problems.append(f"line {number}: {error}")
    if not found or len(found) > MOST:
        reason = problems[0] if problems and not found else f"it holds {len(found)} concepts, {MOST} are allowed"
        raise UnlearnError(f"{path} can't be used ({reason.rstrip('.')}); write one concept a line.")
    names = [concept.name for concept in found.values()]
    return [replace(c, avoid=tuple(n for n in names if n not in (*c.words, *c.keep))) for c in found.values()], problems


def read_line(line: str) -> Concept:
    """A concept: its name, and behind tabs what else is said of it, "also=kitten,tomcat".

    Raises:
        UnlearnError: for an option that there is not, or words that contradict each other.
    """
    name, *options = (part.strip() for part in line.split("\t"))
    values: dict[str, Any] = {}
    for option in filter(None, options):
        key, _, value = option.partition("=")
        key = key.strip().replace("-", "_")
        if key not in (*LISTS, *TEXTS, GROUP):
            known = ", ".join((*LISTS, *TEXTS, GROUP))
            raise UnlearnError(f"There is no option {key[:40]!r} for a concept; use {known}.")
        if key == GROUP:
            inside(".", value.strip())
            continue
        words = tuple(word.strip() for word in value.split(",") if word.strip())
        values[key] = words if key in LISTS else value.strip()
    return Concept(name, **values)


def read_groups(path: str) -> dict[str, str]:
    """The groups of a list's concepts, by what they are called; those without one are left out."""
    groups = {}
    for line in read_prompts(path):
        said = re.search(rf"\t\s*{GROUP}\s*=([^\t]*)", line)
        if said:
            with suppress(UnlearnError):  # `read_list` tells of it
                groups[called(read_line(line))] = said[1].strip()
    return groups


def once(
    args: argparse.Namespace, settings: Any, denoiser: Any, folder: Path, concept: Concept, manifest: Manifest
) -> bool:
    """One eraser, unless it is there, and finished, for the same concept; False after an interruption.

    Raises:
        UnlearnError: if it can't be made.
    """
    out = manifest.place(concept)
    if out.exists() and not args.overwrite and same(Adapter.load(out), concept, args.mode):
        say("there already")
        manifest.note(concept, file=out.relative_to(folder).as_posix())
        return True
    check_replaceable(out, Written("eraser", called(concept), denoiser.family), args.overwrite)
    promise = Promise(tuple(read_own(args.bank, concept)), args.false_open_rate, args.look)
    check_rate(promise, denoiser.family, concept)
    begun = unfinished_beside(out)
    resumed = Adapter.load(begun) if begun.exists() and row(args.mode).trains and not args.overwrite else None
    started = time.perf_counter()
    adapter = erase_to(out, denoiser, Order(concept, args.mode, settings, promise), resumed, "repeat the command")
    if adapter is None:
        return False
    seconds = round(time.perf_counter() - started, 1)
    file, gate = out.relative_to(folder).as_posix(), adapter.gate
    manifest.note(concept, file=file, seconds=seconds, instead=adapter.instead, opens=gate.true_open_rate)
    return True


def same(adapter: Adapter, concept: Concept, mode: str) -> bool:
    """Whether an eraser is the finished one of a line, whatever else stood in the list when it was made."""
    return (
        not adapter.partial
        and adapter.mode == mode
        and replace(adapter.concept, avoid=()) == replace(concept, avoid=())
    )


def join(folder: Path, files: Sequence[Path]) -> None:
    """All erasers of the list as one ordinary LoRA.

    Raises:
        UnlearnError: if there are fewer than two, or the file can't be written.
    """
    parts = [(Adapter.load(file), 1.0) for file in files if file.exists()]
    lora, metadata = joined(parts)
    family = parts[0][0].family
    out, wanted = folder / TOGETHER, Written("merged", family=family)
    check_replaceable(out, wanted)
    write_safetensors(out, to_stock(lora, family), marked(metadata, wanted))
    say(f"{out} is written, rank {lora.rank}, without a gate.")


class Manifest:
    """What became of every concept, as a table in JSON that is written anew after each.

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

    def note(self, concept: Concept, **facts: Any) -> None:
        """Say what became of one."""
        own = called(concept)
        group = {GROUP: self.groups[own]} if own in self.groups else {}
        self.rows[own] = {"concept": own, **group, **facts}
        write_text(self.path, json.dumps(list(self.rows.values()), indent=1, ensure_ascii=False) + "\n")

    def done(self, concepts: Sequence[Concept]) -> list[str]:
        """Those of the concepts that have a file."""
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
