"""The gate: does this picture's prompt ask for the concept? Decided by direction, not by size, of predictions.

Statistics are measured on one latent of the picture's own run, with the host's predictions at that step:

* kappa, the cosine between this prompt's guidance e(c) - e(0) and the concept's e(c_p) - e(0): the base model
  alone says whether the prompt pulls where the concept pulls.
* rho, the matched filter <D, w> / |w|^2 with D = e_lora(c) - e_base(c), the adapter's change, and
  w = e(0) - e(c_p), the way out of the concept: does the adapter do to this prompt what it was trained to do?
* raw, the norm |D| that UnGuide averages over many runs (arXiv 2508.05755); kept for its own mode.

Scores of one kind are comparable between latents, sizes and parametrisations; raw norms are not.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor

from .denoiser import Conditioning
from .errors import UnlearnError


@dataclass(frozen=True)
class Gate:
    """When and how to decide. Stored in the adapter's metadata.

    Attributes:
        statistic: "kappa", "rho" or "both" (their mean).
        step: the sampling step (0 is the first), as a share of the run, at which the probe is made.
        threshold: open at or above this score.
        text_closed: prompts whose text score is below this are closed without any evaluation.
        text_open: prompts whose text score is at or above this are open without any evaluation.
        false_open_rate: the rate that calibration guarantees for prompts like its negatives.
        negatives, positives: how many prompts calibrated it.
        true_open_rate, true_open_low, true_open_high: measured on the positives, with a 95 % interval.
    """

    statistic: str = "both"
    step: float = 0.07
    threshold: float = 0.5
    text_closed: float = float("-inf")
    text_open: float = float("inf")
    false_open_rate: float | None = None
    negatives: int = 0
    positives: int = 0
    true_open_rate: float | None = None
    true_open_low: float | None = None
    true_open_high: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the metadata."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Gate:
        """Read what `to_dict` wrote.

        Raises:
            UnlearnError: for unknown fields, which a newer version may have written.
        """
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise UnlearnError(f"The adapter's gate has unknown fields ({', '.join(sorted(unknown))}); update.")
        return cls(**values)


def kappa(prompt: Tensor, concept: Tensor, empty: Tensor) -> Tensor:
    """Cosine of e(c) - e(0) with e(c_p) - e(0), per row: (B,C,H,W) predictions to (B,) scores; 0 where e(c) = e(0)."""
    pull, direction = (prompt - empty).flatten(1).float(), (concept - empty).flatten(1).float()
    return torch.nn.functional.cosine_similarity(pull, direction, dim=1, eps=1e-8)


def rho(change: Tensor, concept: Tensor, reference: Tensor, gamma: float = 0.0) -> Tensor:
    """Matched filter of the adapter's change with the wanted one, per row: (B,C,H,W) to (B,); about 1 on the concept."""
    wanted = (1 + gamma) * (reference - concept).flatten(1).float()
    return (change.flatten(1).float() * wanted).sum(1) / wanted.square().sum(1).clamp_min(1e-12)


def raw(change: Tensor) -> Tensor:
    """UnGuide's statistic: the norm of the adapter's change, per row, (B,)."""
    return change.flatten(1).float().norm(dim=1)


def text_score(prompt: Conditioning, concept: Conditioning, empty: Conditioning) -> Tensor:
    """How far a prompt's tokens lie in the concept's direction, per row of `prompt`, (B,); no evaluation.

    The largest projection of any token's difference from the empty prompt on the concept's mean difference,
    in units of the concept's own largest.
    """
    blank = empty.tensors["text"].float().mean(dim=(0, 1))
    direction = concept.tensors["text"].float().mean(dim=(0, 1)) - blank
    own = ((concept.tensors["text"].float() - blank) @ direction).amax()
    return ((prompt.tensors["text"].float() - blank) @ direction).amax(dim=1) / own.clamp_min(1e-8)
