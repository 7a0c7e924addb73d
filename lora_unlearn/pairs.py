"""Which token of a reference prompt stands in the place of which token of the concept's, whatever their lengths."""

from __future__ import annotations

import torch
from torch import Tensor

from .denoiser import Conditioning
from .padding import is_padding


def paired(target: Conditioning, reference: Conditioning) -> tuple[Tensor, Tensor]:
    """The tokens of target prompts and those in their place, (tokens, width) twice, in float32 and without padding.

    A row of padding alone counts as one token that is zero.

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
    said = ~is_padding(text)
    return [row[own] if bool(own.any()) else row[:1] for row, own in zip(text, said, strict=True)]


def _places(text: Tensor, other: Tensor) -> Tensor:
    """Indices into `other` (M,width), one for each token of `text` (N,width).

    Rows of one length go by place. A language model reads as many tokens as there are, so a word of three pieces moves
    all that follows it: what stands before the word is counted from the start, what follows it from the end, and the
    pieces go to the token in between. Where that is: where all others differ least.
    """
    place = torch.arange(len(text), device=text.device)
    longer = len(text) - len(other)
    if longer == 0:
        return place
    distance, found = torch.cdist(text, other).square(), list[tuple[float, Tensor]]()
    for word in range(min(len(text), len(other))):
        chosen = torch.where(place > word, (place - longer).clamp_min(word), place)
        own = (place >= word) & (place <= word + max(0, longer))
        found.append((float(distance[place, chosen][~own].sum()), chosen))
    return min(found, key=lambda one: one[0])[1]
