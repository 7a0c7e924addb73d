"""What a training reads: the encoded prompts of the concept, of what takes its place, and of what must stay."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate

import torch
from torch import Tensor

from ..concept import Concept
from ..denoiser import Conditioning, Denoiser
from ..moments import tokens
from ..padding import unpadded

PUT_BESIDE = 24
"""How many of the kept prompts the concept is put beside."""
EDIT_PROMPTS = 200
"""How many of the kept prompts hold the closed form; every further one leaves it fewer directions. The gate's direction
heeds them all."""


@dataclass
class Prompts:
    """The encoded prompts of a training.

    Attributes:
        target, reference: the concept's sentences, and the same with what takes its place, row by row.
        empty: the empty prompt, one row.
        keep: prompts that must not change; `kept` are their words.
        beside, alone: the concept and its replacement beside something that stays, row by row.
        shared_reference: all references are the empty prompt.
        ordinary: what the concept is measured against: `keep`, with what of it is the concept by another name.
    """

    target: Conditioning
    reference: Conditioning
    empty: Conditioning
    keep: Conditioning
    beside: Conditioning
    alone: Conditioning
    shared_reference: bool
    kept: tuple[str, ...]
    ordinary: Conditioning

    def practised(self) -> Prompts:
        """The same, with the pairs that are trained on: in turn the concept alone, and beside something that stays."""
        count = min(len(self.target), len(self.beside))
        order = torch.arange(2 * count).view(2, count).T.flatten()
        both = Conditioning.cat([self.target[:count], self.beside[:count]])[order]
        other = Conditioning.cat([self.reference[:count], self.alone[:count]])[order]
        return replace(self, target=both, reference=other, shared_reference=False)

    @property
    def concept_tokens(self) -> Tensor:
        """The tokens of all targets, (tokens, width), without padding that is zero."""
        return unpadded(tokens(self.text_pairs[0]))

    @property
    def text_pairs(self) -> tuple[Conditioning, Conditioning]:
        """Targets and references for what is found from text alone: plain ones, and beside other things."""
        return Conditioning.cat([self.target, self.beside]), Conditioning.cat([self.reference, self.alone])


def encode(denoiser: Denoiser, concept: Concept, keep: list[str]) -> Prompts:
    """Encode a concept's prompt pairs, the empty prompt and the prompts to keep.

    `keep` are prompts of other things; they shape the directions.
    """
    pairs, together = concept.pairs(), concept.beside(keep[:PUT_BESIDE] or [""])
    kept = [*concept.kept(), *keep] or [""]
    shared = all(reference == "" for _, reference in pairs)
    target, reference, empty, kept_rows, beside, alone = _encode_alike(
        denoiser,
        [prompt for prompt, _ in pairs],
        [prompt for _, prompt in pairs],
        [""],
        kept,
        [prompt for prompt, _ in together],
        [prompt for _, prompt in together],
    )
    return Prompts(target, reference, empty, kept_rows, beside, alone, shared, tuple(kept), kept_rows)


def _encode_alike(denoiser: Denoiser, *groups: list[str]) -> list[Conditioning]:
    """Encode groups of prompts to conditionings of one length, however long the longest prompt is."""
    parts = [denoiser.encode(group) for group in groups]
    if len({part.tensors["text"].shape[1] for part in parts}) > 1:
        every = denoiser.encode([prompt for group in groups for prompt in group])
        ends = list(accumulate(len(group) for group in groups))
        parts = [every[end - len(group) : end] for group, end in zip(groups, ends, strict=True)]
    return parts
