"""SPEED: an edit in the null space of what must stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...directions import energy
from ...lora import Lora
from ...moments import tokens
from ...options import option
from ...padding import unpadded
from ..prompts import EDIT_PROMPTS, Prompts
from ..scene import Scene
from .moves import Moves
from .reading import check_reads, realised, subjects


@dataclass(frozen=True)
class Speed:
    """W' = W + W (S_at - S_tt) P (1 - M K (K^T P M K + l)^-1 K^T P) M with M = (S_tt P + l)^-1 (arXiv 2503.07392).

    S_tt = sum t t^T, S_at = sum a t^T over the concept's own tokens t and those a in their place; P projects onto the
    directions in which the kept prompts' tokens have next to no energy; K are the empty prompt's tokens, kept exactly.
    """

    null: float = option(0.1, 0, 1, "the share of the kept tokens' largest energy below which a direction is free")
    ridge: float = option(0.01, 1e-9, 1e6, "l, in units of the mean energy of the concept's tokens")
    pinned: int = option(4, 1, 77, "main axes of the empty prompt's tokens that are kept exactly")
    moves: ClassVar[Moves] = "fixed"

    def __call__(self, scene: Scene) -> Lora:
        """The adapter."""
        text, other = subjects(scene.prompts)
        check_reads(scene.targets, text.shape[1])
        edit = self.edit(text, other, scene.prompts)
        return realised(scene, edit, text)

    def edit(self, text: Tensor, other: Tensor, prompts: Prompts) -> Tensor:
        """The map E (width, width) of row tokens, c becoming c + c E; in double precision inside."""
        kept = unpadded(tokens(prompts.keep[:EDIT_PROMPTS])).double()
        t, a, one = text.double(), other.double(), torch.eye(text.shape[1]).double().to(text.device)
        free = _free(kept, self.null)
        tt, at = energy(t), a.T @ t / len(t)
        level = self.ridge * tt.diagonal().mean()
        m = torch.linalg.inv(tt @ free + level * one)
        k = torch.linalg.svd(tokens(prompts.empty).double(), full_matrices=False).Vh
        k = k[: self.pinned].T
        hold = m @ k @ torch.linalg.inv(k.T @ free @ m @ k + level * torch.eye(k.shape[1]).to(k)) @ k.T @ free
        return ((at - tt) @ free @ (one - hold) @ m).T.float()


def _free(kept: Tensor, share: float) -> Tensor:
    """The projector (width, width) onto directions with less than `share` of the largest energy of tokens."""
    values, vectors = torch.linalg.eigh(energy(kept))
    free = vectors[:, values < share * values.max()]
    return free @ free.T
