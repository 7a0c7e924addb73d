"""What to erase, in the user's words, and the prompts that training and calibration make of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

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
STYLE_JOINTS = (", {}", " in the manner of {}", " in {}", "{}")
"""How a style hangs on what is drawn in it: what is left out when it goes."""
SEVERAL = re.compile(r"[,;/|&+\n\u3001\uff0c\uff1b]|\band\b", re.IGNORECASE)
"""What people write between several things (fullwidth commas included); between words of one phrase it is rare."""


@dataclass(frozen=True)
class Concept:
    """A concept and everything that the user said about it. Brackets in its words are letters, not weights.

    Attributes:
        name: the words to erase, for example "cat" or "Van Gogh style".
        also: further words for the same thing.
        replace_with: what to draw instead; empty: the method's own choice, usually the nearest other thing.
        keep: words of things that must not suffer, named by the user.
        of: the thing whose attribute is erased: `Concept("red", of="apple")` keeps the apple.
        avoid: what must not take its place where the user names nothing: other concepts that are erased, too.
    """

    name: str
    also: tuple[str, ...] = ()
    replace_with: str = ""
    keep: tuple[str, ...] = ()
    of: str = ""
    avoid: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise UnlearnError("The concept is empty; type what the model must stop drawing, for example cat.")
        kept = {_plain(word) for word in self.keep}
        for word in self.words:
            if _plain(word) in kept:
                raise UnlearnError(
                    f"{word!r} is to be erased and to be kept at the same time; take it out of one of the two."
                )

    @property
    def words(self) -> tuple[str, ...]:
        """The name and the further words, without repeats."""
        return tuple(dict.fromkeys(word.strip() for word in (self.name, *self.also) if word.strip()))

    @property
    def is_manner(self) -> bool:
        """Whether it is a style or an attribute: its reference is the same sentence without it, and no noun's."""
        return is_style(self.name) or bool(self.of)

    def named_in(self, prompt: str) -> bool:
        """Whether a prompt holds one of the words as a word of its own, in any case, or in its English plural.

        A style is named by its bare name, too: who writes "by Van Gogh" asks for it. In scripts that put no spaces
        between words, anywhere.
        """
        return self.naming.search(prompt) is not None

    @property
    def naming(self) -> re.Pattern[str]:
        """What finds one of the words in a prompt, see `named_in`."""
        bare = (re.sub(r"\s*style$", "", word, flags=re.IGNORECASE) for word in self.words if is_style(word))
        return _naming(tuple(dict.fromkeys((*self.words, *filter(None, bare)))))

    @property
    def probe(self) -> str:
        """The prompt that stands for the concept when the gate compares."""
        return f"a photo of a {self._spoken(self.name)}"

    def _spoken(self, word: str) -> str:
        """One of the concept's words as it stands in prompts."""
        return f"{literal(word)} {literal(self.of)}".strip()

    def pairs(self) -> list[tuple[str, str]]:
        """(target prompt, reference prompt): every word in every context, in turn, so the first few hold all words.

        The reference has the replacement in the same place; without one it is the same thing without the style, and
        the empty prompt where nothing would be left.
        """
        replacement = literal(self.replace_with.strip() or self.of.strip())
        return [
            (context.format(self._spoken(word)), context.format(replacement) if replacement else without(context))
            for row in zip(*map(contexts, self.words), strict=True)
            for word, context in zip(self.words, row, strict=True)
        ]

    def beside(self, others: Sequence[str]) -> list[tuple[str, str]]:
        """(target prompt, reference prompt) with other prompts in front: the concept goes, the other thing stays.

        What takes the concept's place stands there, too, or what had the attribute that goes.
        """
        instead = self.replace_with.strip() or self.of.strip()
        words, together = self.words, []
        for index, other in enumerate(others):
            word = words[index % len(words)]
            joint = ", " if is_style(word) else " and a "
            rest = joint + literal(instead) if instead else ""
            together.append((other + joint + self._spoken(word), other + rest))
        return together

    def kept(self) -> list[str]:
        """Prompts of the things to keep, and of the thing whose attribute goes."""
        words = [word for word in (*self.keep, self.of) if word.strip()]
        return [context.format(literal(word)) for word in words for context in contexts(word)]


def notices(concept: Concept, together: str = "use them together") -> list[str]:
    """What an interface should say of words that may not mean what the user thinks, a sentence each; mostly none.

    Args:
        together: how several erasers are used at once, in the interface's own words.
    """
    advice = {
        f"to erase several things make an eraser for each and {together}": [concept.name],
        "it can only be one thing": [concept.replace_with, concept.of],
        "give several things one by one": [*concept.also, *concept.keep],
    }
    return [
        f'"{word.strip()}" is taken as one phrase; {what}.'
        for what, words in advice.items()
        for word in words
        if SEVERAL.search(word.strip())
    ]


def _plain(word: str) -> str:
    """A word without what makes no other word of it: case and spaces."""
    return " ".join(word.casefold().split())


LETTER = r"A-Za-z0-9\u00c0-\u024f\u0300-\u036f"
"""What goes on with a Latin word: letters with and without accents; other scripts beside it do not."""


def _pattern(word: str) -> str:
    """A regular expression for a word and its English inflections."""
    stem = r"\s+".join(map(re.escape, word.split()))
    if not word.isascii():
        return stem
    ending = r"(?:y|ies)" if re.search(r"[^aeiou]y$", word) else re.escape(word[-1]) + r"(?:e?s)?"
    return rf"(?<![{LETTER}]){stem[: -len(re.escape(word.rstrip()[-1]))]}{ending}(?:'s?)?(?![{LETTER}])"


@lru_cache(1024)
def _naming(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(_pattern, words)), re.IGNORECASE)


def is_style(word: str) -> bool:
    """Whether the user calls it a style: its last word is "style"."""
    return word.lower().split()[-1:] == ["style"]


def contexts(word: str) -> tuple[str, ...]:
    """Sentence patterns in which a word is practised."""
    return STYLE_CONTEXTS if is_style(word) else OBJECT_CONTEXTS


def without(context: str) -> str:
    """What is left of a sentence pattern without the concept: its subject if that is a style, nothing if not."""
    if context not in STYLE_CONTEXTS:
        return ""
    return next(context.removesuffix(joint) for joint in STYLE_JOINTS if context.endswith(joint))


def literal(words: str) -> str:
    """Words with a backslash before their brackets, as prompts need it; brackets that have one stay."""
    return re.sub(r"(?<!\\)([()\[\]])", r"\\\1", words)
