"""A list of concepts, as `erase --concepts` reads it: one a line, with more about it behind tabs."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ..checks import check_words
from ..concept import Concept
from ..errors import UnlearnError
from ..files import file_name, inside
from ..written import called
from .models import read_prompts

LISTS, TEXTS, GROUP = ("also", "keep"), ("replace_with", "of"), "group"
"""What may be said of a concept behind its name: words separated by commas, one phrase, and the folder of its file."""
MOST = 1000
"""Concepts in one list."""


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
        UnlearnError: for an option that there is not, words that contradict each other, or a line without a name.
    """
    name, *options = (part.strip() for part in line.split("\t"))
    if name.partition("=")[0].replace("-", "_") in (*LISTS, *TEXTS, GROUP) and "=" in name:
        raise UnlearnError(f"There is no concept before {name[:40]!r}; write its name first.")
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
