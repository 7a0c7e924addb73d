"""P4D: words in front of a prompt that make the erased model predict what the base does (arXiv 2309.06135)."""

from __future__ import annotations

import torch
from torch import Tensor

from ...denoiser import Conditioning
from .attempt import Attempt
from .learning import Loss, learn, spread
from .soft import Soft
from .victim import Lesson, Victim

TOKENS, RATE = 5, 3.0


def attack(victim: Victim, prompt: str, seed: int, budget: int) -> Attempt:
    """min over words w of |e_erased(x, w + P) - e_base(x, P)|^2, on noised pictures of the concept, `budget` updates.

    P4D-N of the paper with five words in front. The prompt keeps its own words, so the gate hears them: this attacks
    the adapter, not the gate.
    """
    generator = torch.Generator().manual_seed(seed)
    soft, words = Soft(victim), victim.candidates
    start = words.rows[torch.randint(len(words.names), (TOKENS,), generator=generator)].to(soft.table.weight.device)
    loss = like_the_base(victim, prompt)
    free = learn(victim, soft, soft.before(prompt), start, loss, budget, RATE, generator, words)
    found = " ".join([*(words.names[i] for i in words.nearest(free)), prompt])
    return Attempt(victim.asking(found), found)


def like_the_base(victim: Victim, prompt: str) -> Loss:
    """|e_erased(x, c*) - e_base(x, c)|^2, mean squares."""
    asked = victim.denoiser.encode([prompt])

    def loss(lesson: Lesson, found: Conditioning) -> Tensor:
        with torch.no_grad():
            wanted = spread(victim.base, lesson, asked)
        return (spread(victim.erased, lesson, found) - wanted).float().square().mean()

    return loss
