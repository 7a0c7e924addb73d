"""Prompts of several lengths in one tensor: zeros stand behind the shorter ones, and no network is shown them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def padded(texts: Sequence[Tensor], step: int = 1) -> Tensor:
    """Token embeddings (T,...), one prompt each, in one tensor (R, longest, ...).

    Args:
        step: the length is brought to a multiple of this, so that most groups of prompts come out at one length.
    """
    longest = max(1, *(len(text) for text in texts))
    out = texts[0].new_zeros(len(texts), -(-longest // step) * step, *texts[0].shape[1:])
    for row, text in enumerate(texts):
        out[row, : len(text)] = text
    return out


def is_padding(text: Tensor) -> Tensor:
    """Which tokens of (...,D) are zero, as hosts pad: (...).

    Hardly a token begins with a zero, so nearly none is looked at whole.
    """
    silent = text[..., 0] == 0
    if bool(silent.any()):
        silent[silent.clone()] = (text[silent] == 0).all(dim=-1)
    return silent


def unpadded(tokens: Tensor) -> Tensor:
    """Tokens (N,D) without those that are zero; the same tensor where none is."""
    silent = is_padding(tokens)
    return tokens[~silent] if bool(silent.any()) else tokens


def lengths(text: Tensor, least: int = 1) -> list[int]:
    """How many tokens each row of (R,T,D) has before the zeros at its end, never fewer than `least`."""
    heard = ~is_padding(text)
    places = torch.arange(1, heard.shape[1] + 1, device=text.device)
    return [min(heard.shape[1], max(least, count)) for count in (heard * places).amax(dim=1).tolist()]


def by_length(text: Tensor, ask: Callable[[Tensor, int], Tensor], least: int = 1) -> Tensor:
    """What a network that knows no padding says of each row of (R,T,D): rows of one length are asked together.

    Args:
        ask: takes the indices of some rows and their length, and gives one result for each.
        least: as in `lengths`.
    """
    found: dict[int, list[int]] = {}
    for row, length in enumerate(lengths(text, least)):
        found.setdefault(length, []).append(row)
    answers = [ask(torch.tensor(rows), length) for length, rows in found.items()]
    if len(answers) == 1:
        return answers[0]
    order = torch.tensor([row for rows in found.values() for row in rows]).argsort()
    return torch.cat(answers)[order.to(answers[0].device)]
