"""UCE: the closed form that edits what the layers make of a concept's own token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from ...directions import energy
from ...lora import Lora
from ...moments import tokens
from ...options import option
from ..prompts import EDIT_PROMPTS
from ..scene import Scene
from .moves import Moves
from .reading import check_reads, realised, subjects


@dataclass(frozen=True)
class Uce:
    """W' = (W sum_c v* c^T + W sum_k k k^T + l W) (sum_c c c^T + sum_k k k^T + l)^-1 (arXiv 2308.14761), which is
    W (1 + M)^T with M = (S_c + S_k + l)^-1 sum_c c^T (v* - c) for row tokens: the same linear map in front of every
    layer, here of the rank that keeps its effect.

    c are the concept's own tokens (`subjects`), v* those in their place, k the tokens of kept prompts.
    """

    keep_weight: float = option(0.1, 0, 1e6, "how much the kept prompts' tokens count beside the concept's")
    ridge: float = option(0.05, 1e-9, 1e6, "l, in units of the mean energy of the concept's tokens")
    moves: ClassVar[Moves] = "fixed"

    def __call__(self, scene: Scene) -> Lora:
        """The adapter."""
        text, other = subjects(scene.prompts)
        check_reads(scene.targets, text.shape[1])
        kept = tokens(scene.prompts.keep[:EDIT_PROMPTS])
        own = energy(text)
        level = self.ridge * own.diagonal().mean() * torch.eye(len(own), device=own.device)
        system = own + self.keep_weight * energy(kept) + level
        edit = torch.linalg.solve(system.double(), (text.T @ (other - text) / len(text)).double()).float()
        return realised(scene, edit, text)
