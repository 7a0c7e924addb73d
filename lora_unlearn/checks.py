"""What an interface checks of a user's words before it loads or trains anything."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .bank import Parts, load_bank
from .bounds import FALSE_OPEN_RATE, least
from .concept import Concept
from .errors import UnlearnError
from .promise import Promise
from .vocabulary import CALLS, same_word


def check_words(concept: Concept) -> None:
    """Refuse words that cannot be meant where prompts call no files.

    Raises:
        UnlearnError: for what calls a file (embedding:name, <lora:name>), or a replacement that is the concept itself.
    """
    for word in (*concept.words, concept.replace_with, *concept.keep, *concept.avoid, concept.of):
        if CALLS.search(word):
            raise UnlearnError(
                f"{word!r} reads like the call of a file, and no file is called here; name the thing in plain words."
            )
    if any(same_word(concept.replace_with, word) for word in concept.words):
        raise UnlearnError(
            f"{concept.replace_with!r} cannot take its own place; name something else to draw instead, or nothing."
        )


def check_own(own: Sequence[str], concept: Concept, where: str) -> list[str]:
    """The user's own prompts that can stay as they are: those that do not ask for the concept.

    Args:
        own: as `bank.own_prompts` or `bank.read_bank` give them.
        where: what to call them.

    Raises:
        UnlearnError: if there are some, and every one asks for the concept.
    """
    left = [prompt for prompt in own if not concept.named_in(prompt)]
    if own and not left:
        raise UnlearnError(
            f"Every prompt of {where} asks for {concept.name} itself; give prompts that must stay as they are."
        )
    return left


def check_rate(promise: Promise, family: str, concept: Concept) -> None:
    """Refuse a promise about false openings for which the family's bank has too few prompts.

    Raises:
        UnlearnError: with the smallest bound that there are enough for.
    """
    if promise.share >= FALSE_OPEN_RATE:  # where the usual bound lacks prompts, the training says so
        return
    count = len(Parts.of(load_bank(family)).without(concept).calibrate)
    if least(FALSE_OPEN_RATE) <= count < least(promise.share):
        stages = promise.false_open_rate / promise.share
        possible = math.ceil(stages * 1e4 / (count + 1)) / 1e4
        raise UnlearnError(
            f"So few mistakes as {promise.false_open_rate:g} of the prompts cannot be promised with the {count} "
            f"ordinary ones that there are for this model; allow {possible:g} or more."
        )
