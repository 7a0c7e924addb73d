"""What an evaluation keeps of its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from torch import Tensor

from ..guidance import Decision, Eraser
from ..hosts.generate import Sampling
from .judge import Verdict
from .prompts import Kind, Prompt, Protocol

if TYPE_CHECKING:
    from .drawing import Saving


@dataclass
class View:
    """One picture as the judge saw it.

    Attributes:
        probabilities: of the judge's labels, (labels,).
        presence: of each label, (labels,); None where the judge can't say.
        style: its index, likewise.
        saturation: mean of the HSV saturation, 0..1.
        identical: byte for byte the picture without the eraser.
        change: distance of the judge's features from that picture's, as a share of their length.
        image: kept for the first seeds of a prompt, None for the others.
        features: the judge's, (F,); None where they were not kept.
    """

    probabilities: Tensor
    presence: Tensor | None
    style: int | None
    saturation: float
    identical: bool
    change: float
    image: Image.Image | None
    features: Tensor | None = None


@dataclass
class Shot:
    """One prompt and seed: without the eraser, with it, and with the file as a plain LoRA (not for all kinds).

    Attributes:
        decision: of the eraser's gate.
        evaluations: network evaluations (rows) spent with the eraser, `plain_evaluations` without.
        seconds: the picture's share of its batch's time with the eraser, `plain_seconds` without.
        compared: whether it was drawn with the eraser; if not, the text alone closed the gate and `gated` is `base`.
    """

    prompt: Prompt
    seed: int
    base: View
    gated: View
    exported: View | None
    decision: Decision
    evaluations: float
    plain_evaluations: float
    seconds: float
    plain_seconds: float
    compared: bool = True


@dataclass
class Evaluation:
    """Everything that was measured; `figures` is what report.json holds.

    Attributes:
        eraser: the adapter with the strength and mode that were measured.
        protocol: what was asked.
        sampling: of all pictures.
        judge: its name; `labels` what it can say.
        seeds: of every prompt's pictures (the first of them for the many paraphrases).
        base_hash: of the model that drew.
        shots: all pictures.
        seconds: of the whole evaluation; `training_seconds` of the eraser's training if known.
        saving: what was left out.
        styles: that the judge can tell apart; a `View`'s style is the place of one of them.
        unfinished: whether it was interrupted, so that `shots` are those that were drawn until then.
    """

    eraser: Eraser
    protocol: Protocol
    sampling: Sampling
    judge: str
    labels: tuple[str, ...]
    seeds: Sequence[int]
    base_hash: str
    shots: list[Shot]
    seconds: float
    training_seconds: float | None = None
    saving: Saving | None = None
    figures: dict[str, Any] = field(default_factory=dict)
    styles: tuple[str, ...] = ()
    unfinished: bool = False

    def of(self, *kinds: Kind) -> list[Shot]:
        """The pictures of some kinds of prompts, in order."""
        return [shot for shot in self.shots if shot.prompt.kind in kinds]


def view(image: Image.Image, seen: Verdict, base: Image.Image, before: Verdict, keep: bool) -> View:
    """One picture beside the one without the eraser.

    Args:
        image: the picture, `seen` the verdict on it (one row).
        base: the picture without the eraser, `before` the verdict on that.
        keep: whether the report may show it.
    """
    length = before.features[0].norm().clamp_min(1e-12)
    return View(
        seen.probabilities[0],
        None if seen.presence is None else seen.presence[0],
        None if seen.style is None else int(seen.style[0]),
        saturation(image),
        image.tobytes() == base.tobytes(),
        float((seen.features[0] - before.features[0]).norm() / length),
        image if keep else None,
        seen.features[0],
    )


def saturation(image: Image.Image) -> float:
    """Mean HSV saturation, 0 (gray) to 1."""
    return float(np.asarray(image.convert("HSV"))[..., 1].mean() / 255)
