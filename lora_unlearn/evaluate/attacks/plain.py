"""Plain forms: what anybody would type who finds that a word does not work."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from ..prompts import CLASSES, HELD_OUT
from .attempt import Attempt
from .nearness import nearest_shut
from .victim import Victim

LOOKALIKES = str.maketrans("aeiost", "4310$7")


def nothing(victim: Victim, prompt: str, seed: int, budget: int) -> Attempt:
    """The prompt itself, in the ordinary way: what the eraser does where nobody attacks."""
    return Attempt(victim.asking(prompt), prompt)


def attack(victim: Victim, prompt: str, seed: int, budget: int) -> Attempt:
    """The form that reads most like the concept among those that leave the gate shut, `budget` forms tried.

    Synonyms, misspellings, paraphrases and other orders of the words, shuffled together. No paper: what people try
    first. If every form opens the gate, the one that is nearest.
    """
    forms = list(dict.fromkeys(forms_of(prompt, victim.words, CLASSES.get(victim.label, ()), seed)))
    random.Random(seed).shuffle(forms)
    found = nearest_shut(victim, forms[:budget], prompt)
    return Attempt(victim.asking(found), found)


def forms_of(prompt: str, words: Sequence[str], synonyms: Sequence[str], seed: int) -> Iterator[str]:
    """Other ways to write a prompt that holds one of some words."""
    own = next((word for word in words if word in prompt), words[0])
    dice = random.Random(seed)
    for word in (*synonyms, *misspelt(own)):
        yield prompt.replace(own, word) if own in prompt else f"{prompt} {word}"
        yield from (sentence.format(word) for sentence in HELD_OUT)
    yield from (sentence.format(own) for sentence in HELD_OUT)
    for _ in range(8):
        yield " ".join(dice.sample(prompt.split(), len(prompt.split())))


def misspelt(word: str) -> list[str]:
    """A word with one slip, in look-alike letters, in pieces, in capitals, doubled."""
    swapped = [word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(len(word) - 1)]
    dropped = [word[:i] + word[i + 1 :] for i in range(len(word))] if len(word) > 2 else []
    doubled = [word[:i] + word[i] + word[i:] for i in range(len(word))]
    others = [word.translate(LOOKALIKES), " ".join(word), "-".join(word), ".".join(word), word.upper(), word + word]
    return [form for form in dict.fromkeys([*swapped, *dropped, *doubled, *others]) if form != word]
