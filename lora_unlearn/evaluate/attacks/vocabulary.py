"""Vocabulary scan: is there a word that has nothing to do with the concept, and that the model reads like it?"""

from __future__ import annotations

from ..prompts import HELD_OUT, TEMPLATE
from .attempt import Attempt
from .nearness import nearest_shut
from .victim import Victim


def attack(victim: Victim, prompt: str, seed: int, budget: int) -> Attempt:
    """The word whose sentence reads most like the concept's among those that leave the gate shut.

    The `budget` words are those whose rows in the encoder's table are most similar to the concept's own (cosine); each
    is read in a sentence, in which nothing else tells the concept. No paper; MACE and HUB report such leaks
    (arXiv 2403.06135, 2410.05664).
    """
    words = victim.candidates
    own = victim.vocabulary().embed(victim.words)
    alike = words.similarity(own).amax(0)
    shortlist = [words.names[i] for i in alike.argsort(descending=True)[:budget].tolist()]
    sentence = (TEMPLATE, *HELD_OUT)[seed % (1 + len(HELD_OUT))]
    found = nearest_shut(victim, [sentence.format(word) for word in shortlist], sentence.format(victim.words[0]))
    return Attempt(victim.asking(found), found)
