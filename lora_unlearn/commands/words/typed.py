"""What can be typed after a command's options: numbers within bounds, words, sizes; and options that commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

from ...errors import UnlearnError
from ...options import Option

LONGEST_WORDS, LONGEST_MESSAGE, LONGEST_NUMBER = 10_000, 400, 30
MOST, MOST_PICTURES = 1_000_000_000, 1_000_000
CHECKPOINT = "demo, a diffusers folder, or a .safetensors file"


class Parser(argparse.ArgumentParser):
    """A parser whose usage errors are one sentence, like all others."""

    def error(self, message: str) -> NoReturn:
        """Refuse what was typed.

        Raises:
            UnlearnError: always.
        """
        short = message if len(message) < LONGEST_MESSAGE else f"{message[:LONGEST_MESSAGE]}..."
        raise UnlearnError(f"{short[:1].upper()}{short[1:]}; see {self.prog} --help.")


def add_model(add: Parser, usual: str | None = None) -> None:
    """The model, and where it runs."""
    shown = CHECKPOINT if usual is None else f"{CHECKPOINT} (default: {usual})"
    add.add_argument("--checkpoint", type=place, required=usual is None, default=usual, metavar="MODEL", help=shown)
    add.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: cuda where there is one)")
    add.add_argument(
        "--dtype",
        choices=("float32", "float16", "bfloat16"),
        help="of the model (default: half precision on a GPU, of the kind that fits; float32 on the CPU)",
    )


def add_out(add: Parser, **options: Any) -> None:
    """Where the result goes, and whether it may replace what is there."""
    add.add_argument("--out", type=place, **options)
    add_overwrite(add)


def add_overwrite(add: Parser) -> None:
    """Whether what is there may be replaced."""
    add.add_argument(
        "--overwrite", action="store_true", help="replace what is there, even if it is something else or not our own"
    )


def add_bank(add: Parser) -> None:
    """The user's own prompts."""
    add.add_argument(
        "--bank",
        type=place,
        metavar="FILE",
        help="text file with prompts that you usually draw, one a line: they must stay as they are",
    )


def add_sampling(add: Parser) -> None:
    """How pictures are drawn."""
    add.add_argument("--seed", type=whole(0, 2**63 - 1), default=0, help="of the first picture (default: 0)")
    add.add_argument("--steps", type=whole(1, 1000), default=30, help="sampling steps (default: %(default)s)")
    add.add_argument(
        "--guidance-scale",
        type=number(0, 1000),
        help="1: none (default: 7.5; FLUX.2, Z-Image, Qwen-Image and Krea 2 have one of their own)",
    )
    add.add_argument("--batch", type=whole(1), default=8, help="pictures at a time; lower it when memory runs out")


def whole(low: int, high: int = MOST) -> Callable[[str], int]:
    """A reader of whole numbers from `low` to `high`."""

    def read(text: str) -> int:
        return int(_within(int(_short(text)), low, high))

    read.__name__ = "whole number"
    return read


def number(low: float, high: float) -> Callable[[str], float]:
    """A reader of numbers from `low` to `high`."""

    def read(text: str) -> float:
        return _within(float(_short(text)), low, high)

    read.__name__ = "number"
    return read


def declared_number(option: Option) -> Callable[[str], float]:
    """A reader of a declared hyper-parameter."""
    assert option.low is not None and option.most is not None
    return whole(int(option.low), int(option.most)) if option.whole else number(option.low, option.most)


def _within(value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{value} is not allowed, it must be from {low:.12g} to {high:.12g}")
    return value


def _short(text: str) -> str:
    if len(text) > LONGEST_NUMBER:
        raise argparse.ArgumentTypeError(f"a number of {len(text)} digits is not allowed")
    return text


def words(text: str) -> str:
    """The text itself, if it can be written down: a terminal may hand over bytes that are no characters."""
    text.encode("utf-8")
    if len(text) > LONGEST_WORDS:
        raise argparse.ArgumentTypeError(f"{len(text)} characters are not allowed, {LONGEST_WORDS} are")
    return place(text)


def place(text: str) -> str:
    """The text itself, if it can be a path: systems end them at a zero."""
    if "\0" in text:
        raise argparse.ArgumentTypeError("a zero byte is not allowed")
    return text


def size(text: str) -> tuple[int, int]:
    """(height, width) from "WIDTHxHEIGHT" or one number for both, in pixels."""
    width, _, height = _short(text).lower().partition("x")
    sides = int(height or width), int(width)
    if not all(8 <= side <= 8192 and side % 8 == 0 for side in sides):
        raise argparse.ArgumentTypeError(f"{text} is not allowed, sides must be multiples of 8 from 8 to 8192")
    return sides
