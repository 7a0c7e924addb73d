"""Prompts that were mixed with the empty one: under more guidance they ask for as much, and show a gate less."""

from __future__ import annotations

import torch
from torch import Tensor

from .denoiser import Conditioning

NOTHING, ENOUGH = 0.01, 0.75
"""Of the distance of the concept's own prompt: nearer it is the empty one but for rounding; farther, a whole one,
as nearly all are."""


def restored(asked: Conditioning, concept: Conditioning, empty: Conditioning) -> Conditioning:
    """c' = c_0 + (c - c_0) |c_p - c_0| / |c - c_0|, where c is much nearer to the empty prompt than the concept's own.

    c = a c_p + (1 - a) c_0 (ComfyUI's ConditioningAverage) comes out as c_p for a small a. Distances are root mean
    squares over the tokens, so that a long prompt is not far for its length.

    Args:
        asked: prompts, a row each; rows that are far enough keep every bit.
        concept, empty: the concept's own prompt c_p and the empty one c_0, one row each.
    """
    wanted = distance(concept.given, fitted(empty.given, concept.given, asked.ragged))
    near = distance(asked.given, fitted(empty.given, asked.given, asked.ragged))
    share = near / wanted.to(near).clamp_min(1e-12)
    factor = torch.where((share > NOTHING) & (share < ENOUGH), 1 / share, torch.ones_like(share))
    if not bool((factor > 1).any()):
        return asked
    blank = {name: tensor for name, tensor in empty.tensors.items() if name in asked.tensors}
    moved = {
        name: farther(asked.tensors[name], fitted(tensor, asked.tensors[name], asked.ragged), factor)
        for name, tensor in blank.items()
    }
    return Conditioning({**asked.tensors, **moved}, asked.ragged)


def distance(text: Tensor, blank: Tensor) -> Tensor:
    """Of prompts (B,T,...) from the empty one (1,T,...), the root mean square over the tokens that differ: (B,)."""
    tokens = (text.float() - blank.to(text.device).float()).flatten(2).square().sum(dim=2)
    return (tokens.sum(dim=1) / (tokens > 0).sum(dim=1).clamp_min(1)).sqrt()


def fitted(blank: Tensor, like: Tensor, ragged: bool) -> Tensor:
    """The empty prompt's states (1,T,...) at the length of others: chunk by chunk, or padded as hosts pad."""
    length, own = like.shape[1], blank.shape[1]
    if like.ndim < 3 or length == own:  # what belongs to a whole prompt has no tokens
        return blank
    if not ragged and length % own == 0:
        return blank.repeat(1, length // own, *[1] * (blank.ndim - 2))
    out = blank.new_zeros(1, length, *blank.shape[2:])
    out[:, : min(own, length)] = blank[:, :length]
    return out


def farther(tensor: Tensor, blank: Tensor, factor: Tensor) -> Tensor:
    """Rows (B,...) moved away from the empty prompt's by factors (B,) above one; the others as they are."""
    factor = factor.view(-1, *[1] * (tensor.ndim - 1)).to(tensor.device)
    start = blank.to(tensor.device).float()
    return torch.where(factor > 1, start + factor * (tensor.float() - start), tensor.float()).to(tensor)
