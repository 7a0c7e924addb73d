"""The gate that decides from text alone: a direction among token embeddings, and a threshold for its strongest token.

Everything comes from the model at hand: ordinary prompts on one side, natural sentences with the concept on the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from .bank import Parts
from .bounds import FALSE_OPEN_RATE
from .calibrate import CHUNK, Count, decided, text_scores
from .concept import Concept
from .denoiser import Denoiser
from .directions import Moments, fisher, heard
from .gate import Gate, encode_direction
from .sentences import sentences

KEPT_WEIGHT = 10.0
"""How often a prompt of something to keep counts, an ordinary one counting once."""


def text_gate(
    denoiser: Denoiser,
    concept: Concept,
    parts: Parts,
    own: Sequence[str] = (),
    false_open_rate: float = FALSE_OPEN_RATE,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Gate:
    """Find the direction, set the threshold, and ask other prompts how well it does.

    Args:
        denoiser: asked to encode, and for the layers that read the prompt.
        parts: ordinary prompts without the concept.
        own: prompts that the user usually draws: they shape the direction, and by themselves bound the threshold.
        false_open_rate: the bound on false openings, for prompts like `parts.calibrate`.
        report: called with (prompts done, prompts in all).

    Raises:
        UnlearnError: if an embedding is not finite, or there are too few prompts for the rate.
    """
    asked = sentences(concept, parts.shape, denoiser.family)
    kept = concept.kept()
    shown = list(dict.fromkeys([prompt for prompt, _ in concept.pairs()] + asked[0::2]))
    groups = [[*parts.shape, *own, ""], shown, [*parts.calibrate, *own], asked[1::2], parts.judge]
    count = Count(sum(map(len, groups)) + len(kept), report)
    others, target = (moments(denoiser, group, count) for group in groups[:2])
    moments(denoiser, kept, count, others, KEPT_WEIGHT)
    scale = heard(denoiser, len(others.mean))
    gate = Gate(statistic="text", direction=encode_direction(fisher(target, others, scale=scale)))
    closed, opened, judged = (text_scores(denoiser, gate, group, count) for group in groups[2:])
    gate = decided(gate, groups[2], closed, opened, concept, false_open_rate, len(own))
    judged_open, heard_open = (int((scores >= gate.threshold).sum()) for scores in (judged, opened))
    return replace(gate, judged=len(judged), judged_open=judged_open, heard=len(opened), heard_open=heard_open)


def moments(
    denoiser: Denoiser,
    prompts: Sequence[str],
    count: Callable[[int], None],
    found: Moments | None = None,
    weight: float = 1.0,
) -> Moments:
    """Of all tokens of some prompts, encoded batch by batch; added to what was `found`, with a weight."""
    found = found or Moments()
    for start in range(0, len(prompts), CHUNK):
        chunk = prompts[start : start + CHUNK]
        found.add(denoiser.encode(chunk), weight)
        count(len(chunk))
    return found
