"""Values that came from a file: bounded, finite, and what the dataclass that takes them says they are."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Container, Mapping
from dataclasses import fields
from typing import Any

from .families import FAMILIES
from .training.method import CALLED, LISTS, PARTS
from .training.methods import METHODS

LONGEST_BLOCK = 32 * 2**20
"""Characters of a JSON text."""
LONGEST_TEXT = 100_000
"""Characters of one text in it."""
NAME = re.compile(r"[\w.-]{1,40}")
"""Of a method or a part, somebody's own too."""
LARGEST = 2**63 - 1
"""What a whole number may be, as seeds are."""

BOUNDS: dict[str, tuple[float, float]] = {
    "scale": (-1e6, 1e6),
    "unit": (0, 1e9),
    "rank": (1, 1e6),
    "batch": (1, 1e12),
    **dict.fromkeys(("gamma", "learning_rate", "guidance_scale"), (0, 1e6)),
    **dict.fromkeys(("enough", "redirected", "look"), (-1e9, 1e9)),
    **dict.fromkeys(("step", "false_open_rate", "true_open_rate", "true_open_low", "true_open_high"), (0, 1)),
}
"""Of numbers by the name of their field; whole numbers are otherwise at least 0, others anything finite."""
CHOICES: dict[str, Container[str]] = {
    "family": tuple(FAMILIES),
    "prediction_type": ("epsilon", "v_prediction", "flow"),
    "mode": METHODS,
    "statistic": ("text", "kappa", "rho", "both", "raw", "look"),
    **{kind: known for kind, known in PARTS.items() if kind not in LISTS},
}
"""Of texts by the name of their field."""


def read_json(text: str) -> Any:
    """Read JSON that somebody else may have written: bounded in length and depth, with finite numbers alone.

    Raises:
        ValueError: saying in a few words what is wrong.
    """
    if len(text) > LONGEST_BLOCK:
        raise ValueError(f"more than {LONGEST_BLOCK} characters")
    try:
        value = json.loads(text, parse_int=_whole, parse_float=_real, parse_constant=_real)
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # half of a pair of surrogates is no character
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except UnicodeEncodeError as error:
        raise ValueError("a character that is none") from error
    return value


def _whole(text: str) -> int:
    if len(text) > len(str(LARGEST)) + 1 or abs(number := int(text)) > LARGEST:
        raise ValueError(f"a number of {len(text)} digits")
    return number


def _real(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"the number {text[:20]}")
    return number


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_TEXT


def _is_list(value: Any, part: Callable[[Any], bool]) -> bool:
    return isinstance(value, list | tuple) and all(map(part, value))


KINDS: dict[str, Callable[[Any], bool]] = {
    "str": _is_text,
    "bool": lambda value: isinstance(value, bool),
    "int": _is_whole,
    "float": _is_number,
    "float | None": lambda value: value is None or _is_number(value),
    "tuple[str, ...]": lambda value: _is_list(value, _is_text),
    "tuple[int, ...]": lambda value: _is_list(value, lambda part: _is_whole(part) and part >= 0),
    "dict[str, float]": lambda value: (
        isinstance(value, dict) and all(_is_text(key) and _is_number(number) for key, number in value.items())
    ),
    "dict[str, int]": lambda value: (
        isinstance(value, dict)
        and all(_is_text(key) and _is_number(count) and count >= 0 for key, count in value.items())
    ),
}
"""How a value is checked, by its field's annotation; fields with other annotations can't come from a file."""


def fields_of(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values for a dataclass, each held against its field's annotation, `BOUNDS` and `CHOICES`; lists become tuples.

    Raises:
        TypeError: naming the first value that does not fit, or has no field.
    """
    kinds = {field.name: str(field.type) for field in fields(kind)}
    for name, value in values.items():
        check = KINDS.get(kinds.get(name, ""))
        if check is None:
            raise TypeError(f"{name[:40]!r} is unknown; a newer version may know it")
        if not check(value) or not _is_within(name, kinds[name], value):
            raise TypeError(f"{name} is {str(value)[:40]!r}")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def lacking(mode: Any, settings: Mapping[str, Any]) -> str:
    """The first method or part named in a file that is none here, as "average 'lookahead'"; empty where all are known.

    Whoever has a method of their own makes such files.
    """
    named: list[tuple[str, Any, Mapping[str, Any]]] = [("method", mode, METHODS)]
    for kind, known in PARTS.items():
        value = settings.get(kind, ())
        named += [(CALLED.get(kind, kind), name, known) for name in (value if isinstance(value, list) else [value])]
    for kind, name, known in named:
        if isinstance(name, str) and NAME.fullmatch(name) and name not in known:
            return f"{kind} {name!r}"
    return ""


def _is_within(name: str, kind: str, value: Any) -> bool:
    if name in CHOICES:
        return value in CHOICES[name]
    low, high = BOUNDS.get(name, (0 if kind == "int" else -math.inf, math.inf))
    return value is None or not _is_number(value) or low <= value <= high
