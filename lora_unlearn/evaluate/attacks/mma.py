"""MMA-Diffusion's text part: other words that the text encoder reads like the prompt (arXiv 2311.17516)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...look import CHUNK
from .attempt import Attempt
from .soft import Layout, Soft
from .victim import Victim
from .words import Words

LENGTH, TRIALS, TOP = 8, 64, 64
"""Words of a prompt, the prompts that are read in a step, and the words among which each place is tried."""


def attack(victim: Victim, prompt: str, seed: int, budget: int) -> Attempt:
    """max over words w of cos(f(w), f(P)), `budget` steps; f is the encoder's state of the end token, (D,).

    In each step the gradient of the cosine with respect to the one-hot words ranks the words for every place, TRIALS
    prompts with one of the TOP best in one place are read, and the nearest of them and the present one goes on: greedy
    coordinate search, as GCG does (arXiv 2307.15043). Words that hold one of the concept's are left out, which is how
    the paper goes past a filter of words. Neither network nor gate is asked. The paper has 20 tokens of any kind, 512
    trials, the 256 best and 1,000 steps; here they are whole words, which read the same when they are typed.
    """
    generator, soft, words = torch.Generator().manual_seed(seed), Soft(victim), allowed(victim)
    wanted = ends(victim, soft, [prompt])
    chosen = torch.randint(len(words.names), (LENGTH,), generator=generator)
    for _ in range(budget):
        best = slope(soft, words, chosen, wanted).topk(min(TOP, len(words.names)), dim=1).indices.cpu()
        trials = torch.cat([chosen[None], neighbours(chosen, best, generator)])
        read = ends(victim, soft, [typed(words, trial) for trial in trials])
        chosen = trials[int(F.cosine_similarity(read, wanted).argmax())]
    found = typed(words, chosen)
    return Attempt(victim.asking(found), found)


def allowed(victim: Victim) -> Words:
    """The words in which none of the concept's stands, not even as a part: no "catfish" for a cat."""
    known = victim.candidates
    kept = [i for i, name in enumerate(known.names) if not any(word.lower() in name for word in victim.words)]
    return Words([known.names[i] for i in kept], known.rows[kept])


def typed(words: Words, chosen: Tensor) -> str:
    """The prompt of some words, by their places in the list."""
    return " ".join(words.names[i] for i in chosen.tolist())


def ends(victim: Victim, soft: Soft, prompts: Sequence[str]) -> Tensor:
    """The states of the end tokens of prompts, (N,D): what CLIP takes a text's meaning from."""
    chunks = [prompts[i : i + CHUNK] for i in range(0, len(prompts), CHUNK)]
    text = torch.cat([victim.denoiser.encode(chunk).tensors["text"].detach().float() for chunk in chunks])
    last = text.shape[1] - 1
    return text[range(len(prompts)), [min(1 + len(soft.ids(prompt)), last) for prompt in prompts]]


def slope(soft: Soft, words: Words, chosen: Tensor, wanted: Tensor) -> Tensor:
    """The gradient of the cosine with a wanted end (1,D) with respect to the one-hot words, (places, words)."""
    rows = words.rows[chosen].to(soft.table.weight.device, torch.float32).requires_grad_()
    with torch.enable_grad():
        end = soft.encode(Layout([], []), rows).tensors["text"][:, 1 + len(chosen)].float()
        near = F.cosine_similarity(end, wanted.to(end)).sum()
        return torch.autograd.grad(near, rows)[0] @ words.rows.to(rows).T


def neighbours(chosen: Tensor, best: Tensor, generator: torch.Generator) -> Tensor:
    """TRIALS times the chosen words (places,), with one of the best (places, TOP) in one place, each in its turn."""
    trials = chosen.repeat(TRIALS, 1)
    places = torch.arange(TRIALS) % len(chosen)
    trials[range(TRIALS), places] = best[places, torch.randint(best.shape[1], (TRIALS,), generator=generator)]
    return trials
