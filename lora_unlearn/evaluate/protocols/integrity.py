"""Model integrity (arXiv 2411.02068): the same prompts from the same noise, with and without the eraser.

Each pair's distance is that of the judge's features, as a share of their length; integrity is one minus its mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ...bank import Parts, load_bank
from ...sentences import spread
from ..counting import See, averaged, base, counted, drawn, exported, gated
from ..drawing import Saving
from ..prompts import HYPONYMS, TEMPLATE, Prompt, Protocol
from ..record import Evaluation, Shot
from ..scores import frechet
from .bench import STYLED, Bench
from .row import asking

PROMPTS = (100, 24)
"""Ordinary prompts, in full and for a first look, besides the things that the judge knows."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
WORST = 12
ALL = Saving()
"""Bytes are compared, so nothing is left out."""


def ask(bench: Bench) -> Protocol:
    """What must stay: every other thing or style that the judge knows, and ordinary prompts kept for judging."""
    concept = bench.eraser.adapter.concept
    others = [
        word for word in bench.judge.labels if word not in (bench.concept, "other", *HYPONYMS.get(concept.name, ()))
    ]
    texts = [TEMPLATE.format(word) for word in others]
    if bench.style is not None:
        texts += [STYLED[0].format("house", style=style) for style in bench.judge.styles if style != bench.style]
    judged = Parts.of(load_bank(bench.denoiser.family)).without(bench.known).judge
    texts += spread(judged, PROMPTS[bench.quick])[: PROMPTS[bench.quick]]
    return asking(bench, [Prompt(text, "retained", "") for text in texts])


def count(evaluation: Evaluation) -> dict[str, Any]:
    """Distances and identical pictures with the gated eraser, and with the file as a plain LoRA that is always on."""
    return {
        "prompts": len({shot.prompt.text for shot in evaluation.shots}),
        "opened": counted(evaluation.shots, lambda shot: float(bool(shot.decision.open))),
        "gated": _pairs(evaluation, gated),
        "exported": _pairs(evaluation, exported),
    }


def _pairs(evaluation: Evaluation, see: See) -> dict[str, Any]:
    """Of one way to draw, beside the pictures without the eraser."""
    shots = drawn(evaluation.shots, see)
    if not shots:
        return {"pictures": 0}
    found = np.quantile([see(shot).change for shot in shots], QUANTILES)
    distance = averaged(shots, lambda shot: see(shot).change)
    return {
        "pictures": len(shots),
        "identical": counted(shots, lambda shot: float(see(shot).identical)),
        "distance": distance,
        "integrity": 1 - distance["share"],
        "integrity_interval": [1 - bound for bound in reversed(distance["interval"])],
        "frechet": _frechet(shots, see),
        "quantiles": {f"{share:g}": float(value) for share, value in zip(QUANTILES, found, strict=True)},
        "worst": [
            {"prompt": shot.prompt.text, "seed": shot.seed, "distance": see(shot).change, "open": shot.decision.open}
            for shot in worst(evaluation, see)
        ],
    }


def _frechet(shots: list[Shot], see: See) -> float | None:
    """FID's distance between all these pictures and those without the eraser, with the judge as its network."""
    sets = [[found for shot in shots if (found := of(shot).features) is not None] for of in (base, see)]
    return frechet(*map(torch.stack, sets)) if min(map(len, sets)) > 1 else None


def worst(evaluation: Evaluation, see: See) -> list[Shot]:
    """The pairs that differ most, the worst first; none that are byte for byte the same."""
    changed = [shot for shot in drawn(evaluation.shots, see) if not see(shot).identical]
    return sorted(changed, key=lambda shot: -see(shot).change)[:WORST]
