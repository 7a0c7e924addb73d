"""What a person asks for on the page, checked and in the core's terms."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lora_unlearn import Adapter, Concept, Settings, UnlearnError
from lora_unlearn.bank import own_prompts
from lora_unlearn.bounds import FALSE_OPEN_RATE
from lora_unlearn.checks import check_own, check_words
from lora_unlearn.erase import PRESETS, Mode
from lora_unlearn.files import inside
from lora_unlearn.look import LOOK_MODES
from lora_unlearn.promise import USUAL, Promise

NUMBERS: dict[str, tuple[str, float, float]] = {
    "iterations": ("updates", 1, 5000),
    "rank": ("rank", 1, 128),
    "batch": ("batch", 1, 64),
    "learning_rate": ("learning rate", 1e-6, 1.0),
    "seed": ("seed", 0, 2**31 - 1),
}
"""Settings that the page offers: what they are called there, and their bounds."""
LONGEST = 200
"""Characters that a field may hold."""
LONGEST_OWN = 100_000
"""Characters that the user's own prompts may have."""
OWN = "the field 'Prompts that you usually draw'"


@dataclass(frozen=True)
class Order:
    """A training to be made.

    Attributes:
        concept: what to erase.
        mode, settings: as `lora_unlearn.erase.erase` takes them.
        previews: whether pictures are drawn on the way.
        pictures: of each prompt on the sheet; 0 draws none.
        promise: of the gate.
    """

    concept: Concept
    mode: Mode
    settings: Settings
    previews: bool = True
    pictures: int = 2
    promise: Promise = USUAL


def order_of(fields: Mapping[str, Any]) -> Order:
    """The order that the page's fields describe; empty numbers mean the preset's own.

    Args:
        fields: "concept", "also", "replace_with", "keep", "of" (text), "preset", the names in `NUMBERS`, "previews",
            "pictures", "own" (prompts, one a line), "false_open_rate" and "look"; all but the first may be missing.

    Raises:
        UnlearnError: naming the field that is wrong.
    """
    text = {name: _text(fields, name) for name in ("concept", "also", "replace_with", "keep", "of")}
    concept = Concept(text["concept"], _words(text["also"]), text["replace_with"], _words(text["keep"]), text["of"])
    check_words(concept)
    preset = fields.get("preset") or "balanced"
    if preset not in PRESETS:
        raise UnlearnError(f"There is no preset {preset!r}; choose one of {', '.join(PRESETS)}.")
    mode, settings = PRESETS[preset]
    settings = replace(settings, **_numbers(fields))
    pictures = fields.get("pictures")
    count = 2 if pictures is None else int(_number(pictures, "pictures on the sheet", 0, 4))
    return Order(concept, mode, settings, fields.get("previews") is not False, count, promise_of(fields, concept))


def promise_of(fields: Mapping[str, Any], concept: Concept | None = None) -> Promise:
    """What the gate is to promise by the fields "own", "false_open_rate" and "look"; `concept` is what is to be erased.

    Raises:
        UnlearnError: naming the field that is wrong.
    """
    text = str(fields.get("own") or "")
    if len(text) > LONGEST_OWN:
        raise UnlearnError(f"There are {len(text)} characters in {OWN}; {LONGEST_OWN} are allowed.")
    if any(unicodedata.category(letter) == "Cs" for letter in text):
        raise UnlearnError(f"There is a character that is no text in {OWN}; type it anew.")
    own = own_prompts(text, OWN) if text.strip() else []
    if concept is not None:
        own = check_own(own, concept, OWN)
    rate = fields.get("false_open_rate")
    rate = FALSE_OPEN_RATE if rate is None or rate == "" else _number(rate, "share of mistakes", 0.001, 0.1)
    look = fields.get("look") or "text"
    if look not in LOOK_MODES:
        raise UnlearnError(f"The gate can't be decided by {look!r}; choose one of {', '.join(LOOK_MODES)}.")
    return Promise(tuple(own), rate, look)


def continued(adapter: Adapter, previews: bool = True, pictures: int = 2, promise: Promise = USUAL) -> Order:
    """The order that an unfinished eraser was made by.

    Raises:
        UnlearnError: if every prompt of the user's own asks for the concept.
    """
    check_own(promise.own, adapter.concept, OWN)
    return Order(adapter.concept, adapter.mode, adapter.settings, previews, pictures, promise)  # type: ignore[arg-type]


def _text(fields: Mapping[str, Any], name: str) -> str:
    text, called = " ".join(str(fields.get(name) or "").split()), name.replace("_", " ")
    if len(text) > LONGEST:
        raise UnlearnError(f"The field {called!r} has {len(text)} characters; {LONGEST} are allowed.")
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        raise UnlearnError(f"The field {called!r} holds a character that is no text; type it anew.")
    return text


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _numbers(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers that were typed, each of its setting's own type."""
    given: dict[str, Any] = {}
    for name, (called, low, high) in NUMBERS.items():
        if fields.get(name) not in (None, ""):
            kind = type(getattr(Settings(), name))
            given[name] = kind(_number(fields[name], called, low, high))
    return given


def _number(value: Any, called: str, low: float, high: float) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not low <= found <= high:
        raise UnlearnError(f"The {called} must be a number from {low:g} to {high:g}; change it, or leave it empty.")
    return found


def file_name(words: str) -> str:
    """A name for a file, without its ending, from any words.

    Raises:
        UnlearnError: if `words` is empty.
    """
    plain = "".join(letter if letter.isalnum() or letter in " -_" else " " for letter in words)
    name = " ".join(plain.split())[:60].strip() or "eraser"
    try:
        inside(".", name)
    except UnlearnError:
        name = f"erase {name}"  # such as CON, which Windows keeps for itself
    return name
