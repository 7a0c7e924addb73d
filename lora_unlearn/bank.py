"""Ordinary prompts of all kinds: what shapes an eraser and its gate, what sets the threshold, what judges it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .concept import Concept
from .demo.bank import demo_bank
from .errors import UnlearnError

BANK = Path(__file__).with_suffix(".txt")
"""One prompt a line: plain "a photo of ..." first, then captions, tag lists, styles, names and other languages, mixed.

The concept is put beside the short plain ones, where a word more shifts few others."""
PLAIN = "a photo of a"
"""How the plain ones begin."""
FEW = 16
"""Every how many of the others stay for the demo."""
TURN = "cscjcscs"
"""Which part the prompts go to, in turn: s shapes, c calibrates (enough for a bound of 0.1 %), j only judges."""
LONGEST_FILE = 4_000_000
"""Bytes that a user's own bank may have."""


@dataclass(frozen=True)
class Parts:
    """A bank in three parts that share no prompt.

    Attributes:
        shape: what the eraser and the gate's direction are made with.
        calibrate: what sets the gate's threshold.
        judge: what is only asked afterwards, to say how often the gate opens by mistake.
    """

    shape: list[str]
    calibrate: list[str]
    judge: list[str]

    @classmethod
    def of(cls, bank: Sequence[str]) -> Parts:
        """Deal the prompts out in their order, so that each part holds a fair share of every kind."""
        dealt: dict[str, list[str]] = {part: [] for part in "scj"}
        for index, prompt in enumerate(bank):
            dealt[TURN[index % len(TURN)]].append(prompt)
        return cls(dealt["s"], dealt["c"], dealt["j"])

    def without(self, concept: Concept) -> Parts:
        """The parts without the prompts that hold one of the concept's words; the others stay in their part.

        So concepts share nearly all of each part, and what was summed over it.
        """
        return Parts(*(without_concept(part, concept) for part in (self.shape, self.calibrate, self.judge)))


def without_concept(prompts: Sequence[str], concept: Concept) -> list[str]:
    """The prompts that hold none of the concept's words."""
    naming = concept.naming
    return [prompt for prompt in prompts if not naming.search(prompt)]


def load_bank(family: str, seed: int = 0) -> list[str]:
    """The prompts for a model family, short ones first: the ones in `bank.txt` for every real model.

    For the demo, which knows some sixty words, sentences about the things that it draws take the place of the plain
    ones. Few of the others stay, since to the demo they are made of unknown words: a gate that was calibrated on
    short sentences alone opens for one long caption in ten.

    Args:
        seed: of the demo's own sentences and their order.
    """
    prompts = BANK.read_text(encoding="utf-8").splitlines()
    if family != "demo":
        return prompts
    return demo_bank(seed) + [prompt for prompt in prompts if not prompt.startswith(PLAIN)][::FEW]


def read_bank(path: str | Path) -> list[str]:
    """A user's own prompts, one a line, which must stay closed beside the usual ones; empty lines are skipped.

    Raises:
        UnlearnError: if the file can't be read, is no text, holds nothing, or is larger than `LONGEST_FILE`.
    """
    path = Path(path)
    try:
        if path.stat().st_size > LONGEST_FILE:
            raise UnlearnError(f"{path} has more than {LONGEST_FILE // 10**6} MB; name a file with one prompt a line.")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UnlearnError(f"{path} cannot be read ({error.strerror}); name a file with one prompt a line.") from error
    except UnicodeDecodeError as error:
        raise UnlearnError(f"{path} is no text file in UTF-8; name a file with one prompt a line.") from error
    return own_prompts(text, str(path))


def own_prompts(text: str, where: str) -> list[str]:
    """The prompts of a text, one a line, without repeats.

    Raises:
        UnlearnError: if it holds none, or control characters as binary files do.
    """
    if any(ord(letter) < 32 and letter not in "\t\r\n\f\v" for letter in text):
        raise UnlearnError(f"{where} is no text but binary data; give one prompt a line.")
    prompts = list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
    if not prompts:
        raise UnlearnError(f"{where} holds no prompt; give one a line, or leave it out.")
    return prompts
