"""The concept as people speak of it: its words in natural sentences, at any place, in the plural, beside other things.

No word about concepts is known here: what kind of word it is (a style, a name, a thing) is told by how it is written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from .concept import Concept, contexts, is_style, literal

SENTENCES = Path(__file__).with_suffix(".txt")
"""Patterns for things, an empty line, patterns for styles. {} is the word, {a} has an article, {s} is its plural."""
JOINTS = ("{rest} and {a}", "{A} and {rest}", "{rest} with {a}", "{rest}, {}")
STYLE_JOINTS = ("{rest}, {}", "{}, {rest}", "{rest} in {}", "{rest} in the style of {bare}")
BESIDE = 64
"""How many ordinary prompts the concept is put beside."""
SIMPLE = 96
"""The same for a model that knows a few words only: short ones."""


def sentences(concept: Concept, ordinary: Sequence[str], family: str = "") -> list[str]:
    """Prompts that ask for a concept, for each of its words in turn: what its gate must open for.

    Args:
        concept: its name and the further words for it.
        ordinary: prompts of other things, short ones first; some get the concept added.
        family: of the model; the demo knows a few words only, and gets no more of others than need be.
    """
    if family == "demo":
        return list(dict.fromkeys(prompt for prompt, _ in [*concept.pairs(), *concept.beside(ordinary[:SIMPLE])]))
    things, styles = (part.splitlines() for part in SENTENCES.read_text(encoding="ascii").split("\n\n"))
    found: list[str] = []
    for word in concept.words:
        spoken = f"{word} {concept.of}".strip()
        own = styles if is_style(word) else things
        found += [context.format(literal(spoken)) for context in contexts(word)]
        found += [filled(pattern, spoken) for pattern in own]
        found += [beside(rest, spoken, place) for place, rest in enumerate(spread(ordinary, BESIDE))]
    return list(dict.fromkeys(found))


def spread(prompts: Sequence[str], count: int) -> list[str]:
    """`count` of the prompts at equal distances, or all of them."""
    step = max(1, len(prompts) // count)
    return list(prompts[::step][:count])


def filled(pattern: str, word: str) -> str:
    """A pattern with a word in its place."""
    for slot, form in _forms(word).items():
        pattern = pattern.replace(slot, form)
    return pattern


@lru_cache(1024)
def _forms(word: str) -> dict[str, str]:
    """What stands for the slots of a pattern."""
    article = with_article(word)
    forms = {"{A}": article[:1].upper() + article[1:], "{a}": article, "{s}": plural(word), "{}": word}
    forms["{bare}"] = re.sub(r"\s+style$", "", word, flags=re.IGNORECASE)
    return {slot: literal(form) for slot, form in forms.items()}


def beside(rest: str, word: str, place: int) -> str:
    """An ordinary prompt with the concept added to it; `place` chooses how."""
    rest = rest.rstrip(". ")
    joint = (STYLE_JOINTS if is_style(word) else JOINTS)[place % 4]
    before, after = joint.split("{rest}")
    after_concept = before != ""
    rest = rest[:1].lower() + rest[1:] if after_concept and rest[1:2].islower() else rest
    return filled(before, word) + rest + filled(after, word)


def is_name(word: str) -> bool:
    """Whether it is written as a name: its first letter is a capital, and it is no style."""
    return word[:1].isupper() and not is_style(word)


def with_article(word: str) -> str:
    """An English word with its article; names, and words in other scripts, as they are."""
    if is_name(word) or not word.isascii() or not word[:1].isalpha():
        return word
    return ("an " if word[0].lower() in "aeiou" else "a ") + word


def plural(word: str) -> str:
    """An English word's regular plural; names, and words in other scripts, as they are."""
    if is_name(word) or not word.isascii() or not word[-1:].isalpha() or word.endswith("s"):
        return word
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("x", "z", "ch", "sh")) else "s")
