"""Which token of a reference prompt stands in the place of which token of the concept's, whatever their lengths."""

from __future__ import annotations

import torch
from torch import Tensor

from .denoiser import Conditioning


def paired(target: Conditioning, reference: Conditioning) -> tuple[Tensor, Tensor]:
    """The tokens of target prompts and those in their place, (tokens, width) twice, in float32 and without padding.

    Args:
        target, reference: rows that belong together; a single reference row serves all.
    """
    rows = list(pairs(target, reference))
    return torch.cat([text for text, _ in rows]), torch.cat([other for _, other in rows])


def pairs(target: Conditioning, reference: Conditioning) -> list[tuple[Tensor, Tensor]]:
    """As `paired`, row by row."""
    texts, others = _said(target), _said(reference)
    if len(others) == 1:
        others = others * len(texts)
    return [(text, other[_places(text, other)]) for text, other in zip(texts, others, strict=True)]


def _said(conditioning: Conditioning) -> list[Tensor]:
    text = conditioning.tensors["text"].float()
    return [row[said] for row, said in zip(text, (text != 0).any(dim=-1), strict=True)]


def _places(text: Tensor, other: Tensor) -> Tensor:
    """Indices into `other` (M,width), one for each token of `text` (N,width).

    Rows of one length go by place. A language model reads as many tokens as there are, so a word of three pieces moves
    all that follows it: up to one place both are counted from the start, after it from the end, and the pieces between
    go to that place. It is the one at which what is paired differs least.
    """
    place = torch.arange(len(text), device=text.device)
    longer = len(text) - len(other)
    if longer == 0 or not len(text) or not len(other):
        return place
    distance = torch.cdist(text, other).square()
    cuts = [torch.where(place > cut, (place - longer).clamp_min(cut), place) for cut in range(min(len(text), len(other)))]
    return min(cuts, key=lambda chosen: float(distance[place, chosen].sum()))
