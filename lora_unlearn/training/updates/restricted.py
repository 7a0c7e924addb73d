"""Restricted gradients: neither of forgetting and retaining may undo the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...options import option
from .total import total


@dataclass(frozen=True)
class Restricted:
    """Where the two gradients conflict, each loses its part along the other (arXiv 2412.07808).

    If <g_f, g_r> < 0: d_f = g_f - <g_f, g_r> / |g_r|^2 g_r and d_r = g_r - <g_r, g_f> / |g_f|^2 g_f over all parameters
    as one vector; the update is d_f + alpha d_r.
    """

    alpha: float = option(1.0, 0, 1e3, "how much the retaining gradient counts beside the forgetting one")
    reconciles: ClassVar[bool] = True

    def begin(self) -> Callable[[list[list[Tensor]]], list[Tensor]]:
        """The way of one training."""
        return self.reconciled

    def reconciled(self, gradients: list[list[Tensor]]) -> list[Tensor]:
        """One gradient of the first term's and the others' sum."""
        if len(gradients) < 2:
            return gradients[0]
        forget, retain = gradients[0], total(gradients[1:])
        f, r = (torch.cat([part.flatten() for part in parts]) for parts in (forget, retain))
        along = min(0.0, float(f @ r))
        of_r, of_f = along / float((r @ r).clamp_min(1e-30)), along / float((f @ f).clamp_min(1e-30))
        return [g_f - of_r * g_r + self.alpha * (g_r - of_f * g_f) for g_f, g_r in zip(forget, retain, strict=True)]
