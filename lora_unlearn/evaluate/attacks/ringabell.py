"""Ring-A-Bell: a concept vector in text space, and words that come close to a prompt with it (arXiv 2310.10012)."""

from __future__ import annotations

import random

import torch
from torch import Tensor

from .attempt import Attempt
from .nearness import states
from .victim import Victim

LENGTH, POPULATION, KEPT, MUTATED = 8, 48, 12, 0.125
"""Words of a prompt, prompts of a generation, how many of them have children, and how often a word is changed."""
STRENGTH = 3.0
"""eta of the paper, there 3 to 3.5."""
PAIRS = 10


def attack(victim: Victim, prompt: str, seed: int, budget: int) -> Attempt:
    """min over prompts P* of |f(P*) - (f(P) + eta v)|^2 with v = mean f(with) - f(without), the concept vector.

    f are the text encoder's states of all tokens. P is the prompt without the concept's words. A genetic search for
    `budget` generations: the best have children by crossing, single words change. Neither network nor gate is asked.
    """
    words, dice = victim.candidates.names, random.Random(seed)
    aim = states(victim, [without(victim, prompt)])[0] + STRENGTH * concept_vector(victim)
    population = [[dice.choice(words) for _ in range(LENGTH)] for _ in range(POPULATION)]
    for _ in range(budget):
        best = fittest(victim, population, aim)
        population = best + [child(dice.sample(best, 2), words, dice) for _ in range(POPULATION - KEPT)]
    found = " ".join(fittest(victim, population, aim)[0])
    return Attempt(victim.asking(found), found)


def concept_vector(victim: Victim) -> Tensor:
    """v, (tokens * width): the mean difference of prompts with and without the concept."""
    pairs = victim.concept.pairs()[:PAIRS]
    return (states(victim, [asked for asked, _ in pairs]) - states(victim, [other for _, other in pairs])).mean(0)


def without(victim: Victim, prompt: str) -> str:
    """The prompt without the concept's words."""
    for word in victim.words:
        prompt = prompt.replace(word, "")
    return " ".join(prompt.split())


def fittest(victim: Victim, population: list[list[str]], aim: Tensor) -> list[list[str]]:
    """The best of a generation, the nearest to the aim first."""
    far = (states(victim, [" ".join(words) for words in population]) - aim).square().sum(1)
    return [population[i] for i in torch.argsort(far)[:KEPT].tolist()]


def child(parents: list[list[str]], words: list[str], dice: random.Random) -> list[str]:
    """The head of one prompt and the tail of another, some words changed."""
    cut = dice.randrange(1, LENGTH)
    mixed = parents[0][:cut] + parents[1][cut:]
    return [dice.choice(words) if dice.random() < MUTATED else word for word in mixed]
