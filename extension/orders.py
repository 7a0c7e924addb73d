"""What a person asks for on the page, checked and in the core's terms."""

from __future__ import annotations

import math
import random
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lora_unlearn import Adapter, Concept, Settings, UnlearnError
from lora_unlearn import order as core
from lora_unlearn.bank import own_prompts
from lora_unlearn.checks import check_own, check_words
from lora_unlearn.erase import PRESETS, USUAL_PRESET
from lora_unlearn.look import LOOK_MODES
from lora_unlearn.options import options_of
from lora_unlearn.promise import USUAL, Promise
from lora_unlearn.training.methods import row
from lora_unlearn.training.typed import changed, read_option, written

from .words import OF_PRESET

RANDOM = -1
"""The seed that stands for any."""
NUMBERS = {
    "iterations": "updates", "rank": "rank", "batch": "batch", "learning_rate": "learning rate", "seed": "seed"
}  # fmt: skip
"""Settings that the page offers, and what they are called there; the core declares their bounds."""
LARGEST_SEED = 2**31 - 1
LONGEST = 200
"""Characters that a field may hold."""
LONGEST_OWN = 100_000
"""Characters that the user's own prompts may have."""
OWN = "the field 'Prompts that you usually draw'"


@dataclass(frozen=True)
class Order(core.Order):
    """A training to be made.

    Attributes:
        previews: whether pictures are drawn on the way.
        pictures: of each prompt on the sheet; 0 draws none.
    """

    previews: bool = True
    pictures: int = 2


def order_of(fields: Mapping[str, Any]) -> Order:
    """The order that the page's fields describe; empty numbers mean the preset's own.

    Args:
        fields: "concept", "also", "replace_with", "keep", "of" (text), "preset", "method" (instead of a preset),
            "options" (name=value, one a line), the names in `NUMBERS`, "previews", "pictures", "own" (prompts, one a
            line), "false_open_rate" and "look"; all but the first may be missing.

    Raises:
        UnlearnError: naming the field that is wrong.
    """
    text = {name: _text(fields, name) for name in ("concept", "also", "replace_with", "keep", "of")}
    concept = Concept(text["concept"], _words(text["also"]), text["replace_with"], _words(text["keep"]), text["of"])
    check_words(concept)
    trains = any(fields.get(name) for name in ("iterations", "batch", "learning_rate"))
    preset = str(fields.get("preset") or ("balanced" if trains else USUAL_PRESET))
    if preset not in PRESETS:
        raise UnlearnError(f"There is no preset {preset[:40]!r}; choose one of {', '.join(PRESETS)}.")
    mode, settings, usual = PRESETS[preset]
    if method := str(fields.get("method") or ""):
        mode, settings, usual = method, row(method), USUAL
    if trains and not settings.trains:
        raise UnlearnError(
            f"{method or preset} trains nothing, so it takes no updates, batch or learning rate; leave these fields "
            "empty, or choose balanced."
        )
    settings = changed(replace(settings, **_numbers(fields)), _options(fields))
    pictures = fields.get("pictures")
    count = 2 if pictures is None else check_pictures(pictures)
    return Order(
        concept, mode, settings, promise_of(fields, concept, usual), fields.get("previews") is not False, count
    )


def fields_of(order: Order) -> dict[str, Any]:
    """The page's fields that an order came from; not those of the gate, for own prompts are for no other page."""
    concept = order.concept
    preset = next((name for name, known in PRESETS.items() if known.mode == order.mode), "")
    usual = PRESETS[preset].settings if preset else row(order.mode)
    options = written(_plain(order, preset), usual)
    numbers = {name: getattr(order.settings, name) for name in NUMBERS}
    return {
        "concept": concept.name, "also": ", ".join(concept.also), "replace_with": concept.replace_with,
        "keep": ", ".join(concept.keep), "of": concept.of, "preset": preset or USUAL_PRESET,
        "method": "" if preset else order.mode, "options": "\n".join(options),
        **{name: f"{value}" if value != getattr(usual, name) else "" for name, value in numbers.items()},
        "pictures": order.pictures, "previews": order.previews,
    }  # fmt: skip


def _plain(order: Order, preset: str) -> Settings:
    """The order's settings with the preset's or the method's own numbers."""
    usual = PRESETS[preset].settings if preset else row(order.mode)
    return replace(order.settings, **{number: getattr(usual, number) for number in NUMBERS})


def promise_of(fields: Mapping[str, Any], concept: Concept | None = None, usual: Promise = USUAL) -> Promise:
    """What the gate is to promise by the fields "own", "false_open_rate" and "look".

    Args:
        concept: what is to be erased.
        usual: its rate and look where the fields are empty.

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
    rate = usual.false_open_rate if rate is None or rate == "" else number(rate, "share of mistakes", 0.001, 0.1)
    look = str(fields.get("look") or OF_PRESET)
    look = usual.look if look == OF_PRESET else look
    if look not in LOOK_MODES:
        raise UnlearnError(f"The gate can't be decided by {look[:40]!r}; choose one of {', '.join(LOOK_MODES)}.")
    return Promise(tuple(own), rate, look)


def continued(adapter: Adapter, previews: bool = True, pictures: int = 2, promise: Promise = USUAL) -> Order:
    """The order that an unfinished eraser was made by.

    Raises:
        UnlearnError: if every prompt of the user's own asks for the concept.
    """
    check_own(promise.own, adapter.concept, OWN)
    return Order(adapter.concept, adapter.mode, adapter.settings, promise, previews, pictures)


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
    declared = options_of(Settings)
    for name, called in NUMBERS.items():
        value, option = fields.get(name), declared[name]
        if value not in (None, "") and name == "seed":
            given[name] = seed_of(value, LARGEST_SEED)
        elif value not in (None, "") and option.low is not None and option.high is not None:
            given[name] = number(value, called, option.low, option.high, option.whole)
    return given


def _options(fields: Mapping[str, Any]) -> dict[str, str]:
    """The method's further parts and numbers that were typed, one a line or separated by semicolons."""
    text = str(fields.get("options") or "")
    if len(text) > LONGEST:
        raise UnlearnError(f"The field 'method options' has {len(text)} characters; {LONGEST} are allowed.")
    lines = [line for line in text.replace(";", "\n").splitlines() if line.strip()]
    return dict(map(read_option, lines))


def check_pictures(value: Any) -> int:
    """How many pictures of each prompt are to be on the sheet.

    Raises:
        UnlearnError: if that is no number from 0 to 4.
    """
    return int(number(value, "pictures on the sheet", 0, 4, whole=True))


def seed_of(value: Any, high: float) -> int:
    """The seed that was typed; -1, or nothing, stands for any.

    Raises:
        UnlearnError: if it is no seed.
    """
    found = RANDOM if value in (None, "") else int(number(value, "seed", RANDOM, high, whole=True))
    return random.SystemRandom().randint(0, 2**31 - 1) if found == RANDOM else found


def number(value: Any, called: str, low: float, high: float, whole: bool = False) -> Any:
    """A number that a page or a program sent, as text or as a number; an int where it must be a whole one.

    Raises:
        UnlearnError: if it is none, or out of bounds.
    """
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    bounds = f"from {low:.16g} to {high:.16g}"
    if not low <= found <= high:
        raise UnlearnError(f"The {called} must be a number {bounds}; change it, or leave it empty.")
    if whole and found != int(found):
        raise UnlearnError(f"The {called} must be a whole number {bounds}, not {found:g}.")
    return int(found) if whole else found
