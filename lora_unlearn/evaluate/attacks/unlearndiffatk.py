"""UnlearnDiffAtk: words that make the network itself explain a picture of the concept (arXiv 2310.11868)."""

from __future__ import annotations

import torch

from .attempt import Attempt
from .learning import learn, to_the_picture
from .p4d import RATE, TOKENS
from .soft import Soft
from .victim import Victim


def attack(victim: Victim, prompt: str, seed: int, budget: int) -> Attempt:
    """min over words w of |e_erased(x, w + P) - e_0|^2 with x a noised picture of the concept, `budget` updates.

    As in the paper the words stand in front of the prompt, and no base model is asked. The paper steps along the sign
    of the gradient of relaxed words; here as in `p4d`.
    """
    generator = torch.Generator().manual_seed(seed)
    soft, words = Soft(victim), victim.candidates
    start = words.rows[torch.randint(len(words.names), (TOKENS,), generator=generator)].to(soft.table.weight.device)
    loss = to_the_picture(victim.erased)
    free = learn(victim, soft, soft.before(prompt), start, loss, budget, RATE, generator, words)
    found = " ".join([*(words.names[i] for i in words.nearest(free)), prompt])
    return Attempt(victim.asking(found), found)


def attack_shut(victim: Victim, prompt: str, seed: int, budget: int) -> Attempt:
    """min over words w of |e_base(x, P(w)) - e_0|^2 + max(0, S(P(w)) - tau) / tau: past a gate that reads the text.

    The words take the place of the concept's, and the base's predictions count, as a shut gate lets it draw.
    """
    generator = torch.Generator().manual_seed(seed)
    soft, words = Soft(victim), victim.candidates
    layout = soft.instead_of(prompt, victim.words)
    start = words.rows[torch.randint(len(words.names), (TOKENS,), generator=generator)].to(soft.table.weight.device)
    loss = to_the_picture(victim.base)
    free = learn(victim, soft, layout, start, loss, budget, RATE, generator, words, shut=True)
    ids = soft.ids(" ".join(words.names[i] for i in words.nearest(free)))
    found = soft.tokenizer.decode([*layout.before, *ids, *layout.after])
    return Attempt(victim.asking(found), found)
