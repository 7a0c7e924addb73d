"""Values that came from a file, held against the annotations of the dataclass that takes them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

Record = TypeVar("Record")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


KINDS: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "int": _is_whole,
    "float": _is_number,
    "float | None": lambda value: value is None or _is_number(value),
    "tuple[str, ...]": lambda value: isinstance(value, tuple) and all(isinstance(part, str) for part in value),
    "dict[str, int]": lambda value: (
        isinstance(value, dict) and all(isinstance(key, str) and _is_number(count) for key, count in value.items())
    ),
}
"""How a value is checked, by its annotation; fields with other annotations are not."""


def typed(record: Record) -> Record:
    """A dataclass instance as it came, if each of its plain fields holds what its annotation says.

    Raises:
        TypeError: naming the first field that does not.
    """
    for field in fields(record):  # type: ignore[arg-type]
        value, check = getattr(record, field.name), KINDS.get(str(field.type))
        if check is not None and not check(value):
            raise TypeError(f"{field.name} is {str(value)[:40]!r}")
    return record
