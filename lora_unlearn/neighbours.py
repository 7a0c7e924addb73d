"""The nearest things to a concept: what an eraser must leave alone, and what shows best whether it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .adapter import Adapter
from .bank import PLAIN, load_bank, without_concept
from .calibrate import CHUNK
from .concept import Concept, is_style
from .denoiser import Denoiser


def neighbours(
    denoiser: Denoiser,
    adapter: Adapter,
    count: int = 2,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[str]:
    """Prompts without the concept, nearest first: things that the user asked to keep, then prompts of the bank.

    Of the bank's, those whose token embeddings lie nearest to the concept's sentence: plain ones of one thing each
    where the concept is a thing, and none that the adapter's gate takes for the concept itself.

    Args:
        report: called with (prompts compared, prompts in all).
    """
    concept = adapter.concept
    kept = [Concept(word).probe for word in concept.keep if word.strip()][:count]
    if len(kept) == count:
        return kept
    others = [p for p in without_concept(load_bank(denoiser.family), concept) if p not in adapter.gate.mentions]
    plain = [] if is_style(concept.name) else [prompt for prompt in others if prompt.startswith(PLAIN)]
    others = list(dict.fromkeys(plain if len(plain) >= count else others))
    order = distances(denoiser, concept.probe, others, report).argsort(stable=True).tolist()
    return [*kept, *(others[i] for i in order[: count - len(kept)])]


@torch.no_grad()
def distances(
    denoiser: Denoiser,
    prompt: str,
    others: Sequence[str],
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """Squared distances (len(others),) of prompts to one prompt, token by token of the text encoder's output."""
    found = []
    for start in range(0, len(others), CHUNK):
        chunk = others[start : start + CHUNK]
        text = denoiser.encode([prompt, *chunk]).tensors["text"].float()
        found.append((text[1:] - text[:1]).square().mean(dim=2).sum(dim=1).cpu())
        report(start + len(chunk), len(others))
    return torch.cat(found)
