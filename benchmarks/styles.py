"""Styles on the language relative, by how far they are pushed away: `python -m benchmarks.styles`.

The closed form, always on: what is left of a style on pictures that showed it, on which of them the thing is still the
same, what becomes of the other styles; and for what the gate opens. A model and an encoder on which the default gamma
(`lora_unlearn.settings.GAMMA_ALONE`) was not chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from benchmarks import common
from benchmarks.encoders import Remembered
from benchmarks.language_erasure import SAMPLING
from benchmarks.relative.model import load_language_relative, load_relative_judge
from lora_unlearn import Concept, Eraser, denoiser_for, erase, generate, load_bank
from lora_unlearn.calibrate import text_scores
from lora_unlearn.demo.words import STYLES
from lora_unlearn.training.methods import METHODS

ERASED = ("flat sticker", "ink drawing", "glossy render")
ON = ("cat", "ship", "apple", "bicycle", "train", "deer", "banana", "penguin", "guitar", "tiger")
GAMMAS = (0.5001, 1.0, 1.5)
"""The first is the usual one of things; as 0.5 it would mean the usual one of styles."""


def main() -> None:
    """A row for each style and gamma."""
    options = common.options(__doc__ or "")
    pipe, judge = load_language_relative(), load_relative_judge()
    reader: Any = Remembered(denoiser_for(pipe))
    with torch.no_grad():
        rows = [row(pipe, judge, reader, style, gamma) for style in ERASED for gamma in GAMMAS]
    common.finish(options.out, "styles", rows)


def row(pipe: Any, judge: Any, reader: Any, style: str, gamma: float) -> dict[str, Any]:
    """One eraser."""
    asked = [f"a {thing}, {style}" for thing in ON] + [f"a {thing} in {style} style" for thing in ON]
    asked += [f"{style} of a {thing}" for thing in ON[:5]]
    others = [f"a {thing}, {other}" for other in STYLES if other != style for thing in ON]
    before, beside = looks(pipe, judge, asked), looks(pipe, judge, others)
    settings = replace(METHODS["instant"].settings, gamma=gamma)
    adapter = erase(reader, Concept(f"{style} style"), load_bank("language"), "instant", settings)
    always = Eraser(adapter, 1.0, "on")
    after, moved = looks(pipe, judge, asked, always), looks(pipe, judge, others, always)
    opened = (text_scores(reader, adapter.gate, asked + others) >= adapter.gate.threshold).float()
    shown = [(was, now) for was, now in zip(before, after, strict=True) if was[1] == style]
    return {
        "style": style,
        "gamma": gamma,
        "left": sum(now[1] == style for _, now in shown) / max(1, len(shown)),
        "same thing": sum(now[0] == was[0] for was, now in shown) / max(1, len(shown)),
        "other styles as before": sum(was == now for was, now in zip(beside, moved, strict=True)) / len(others),
        "gate opens": float(opened[: len(asked)].mean()),
        "gate opens, others": float(opened[len(asked) :].mean()),
    }


def looks(pipe: Any, judge: Any, prompts: Sequence[str], *erasers: Eraser) -> list[tuple[str, str]]:
    """The thing and the style that the judge sees, a picture for each prompt."""
    drawn = generate(pipe, prompts, range(len(prompts)), SAMPLING, erasers)
    found = judge(torch.stack([common.pixels(picture.image) for picture in drawn]))
    things, styles = (found[head].argmax(1).tolist() for head in ("thing", "style"))
    return [(judge.labels[thing], list(STYLES)[style]) for thing, style in zip(things, styles, strict=True)]


if __name__ == "__main__":
    main()
