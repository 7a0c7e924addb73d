"""What to erase, in the user's words, and the prompts that training and calibration make of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .errors import UnlearnError

OBJECT_CONTEXTS = (
    "{}",
    "a {}",
    "a photo of a {}",
    "a photo of the {}",
    "a picture of the {}",
    "an image of a {}",
    "a painting of a {}",
    "a drawing of a {}",
    "a close-up of the {}",
    "one {}",
)
STYLE_CONTEXTS = (
    "{}",
    "a painting, {}",
    "a photo in {}",
    "a portrait, {}",
    "a landscape, {}",
    "a drawing in the manner of {}",
    "a house, {}",
    "a picture in {}",
    "a still life, {}",
    "art, {}",
)


@dataclass(frozen=True)
class Concept:
    """A concept and everything that the user said about it.

    Attributes:
        name: the words to erase, for example "cat" or "Van Gogh style".
        also: further words for the same thing.
        replace_with: what to draw instead; empty: whatever the model draws without a prompt.
        keep: words of things that must not suffer, named by the user.
        of: the thing whose attribute is erased: `Concept("red", of="apple")` keeps the apple.
    """

    name: str
    also: tuple[str, ...] = ()
    replace_with: str = ""
    keep: tuple[str, ...] = ()
    of: str = ""

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise UnlearnError("The concept is empty; type what the model must stop drawing, for example cat.")

    @property
    def words(self) -> tuple[str, ...]:
        """The name and the further words, without repeats."""
        return tuple(dict.fromkeys(word.strip() for word in (self.name, *self.also) if word.strip()))

    @property
    def probe(self) -> str:
        """The prompt that stands for the concept when the gate compares."""
        return f"a photo of a {self.name} {self.of}".strip()

    def pairs(self) -> list[tuple[str, str]]:
        """(target prompt, reference prompt): every word in every context.

        The reference has the replacement in the same place; without one it is the empty prompt.
        """
        replacement = self.replace_with.strip() or self.of.strip()
        return [
            (context.format(f"{word} {self.of}".strip()), context.format(replacement) if replacement else "")
            for word in self.words
            for context in contexts(word)
        ]

    def beside(self, others: Sequence[str]) -> list[tuple[str, str]]:
        """(target prompt, reference prompt) with other prompts in front: the concept goes, the other thing stays."""
        words = self.words
        return [
            (f"{other} and a {words[index % len(words)]} {self.of}".strip(), other)
            for index, other in enumerate(others)
        ]

    def kept(self) -> list[str]:
        """Prompts of the things to keep, and of the thing whose attribute goes."""
        words = [word for word in (*self.keep, self.of) if word.strip()]
        return [context.format(word) for word in words for context in contexts(word)]


def contexts(word: str) -> tuple[str, ...]:
    """Sentence patterns in which a word is practised: those for styles when the word ends in "style"."""
    return STYLE_CONTEXTS if word.lower().split()[-1:] == ["style"] else OBJECT_CONTEXTS
