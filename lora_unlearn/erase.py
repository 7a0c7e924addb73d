"""The whole way from words to an adapter: fast, instant or paper mode, calibration included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from .adapter import Adapter
from .calibrate import calibrate
from .concept import Concept
from .denoiser import Conditioning, Denoiser, base_hash
from .errors import UnlearnError
from .gate import Gate
from .settings import INSTANT, Settings
from .train import Report, Stop, closed_form, encode, train

Mode = Literal["fast", "instant", "paper"]


class Counted:
    """A denoiser that counts how many rows it has evaluated."""

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser, self.evaluations = denoiser, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.denoiser, name)

    def predict(self, x: Tensor, sigma: Tensor, conditioning: Conditioning) -> Tensor:
        """As the denoiser's, counted."""
        self.evaluations += len(x)
        return self.denoiser.predict(x, sigma, conditioning)


def erase(
    denoiser: Denoiser,
    concept: Concept,
    bank: Sequence[str],
    mode: Mode = "fast",
    settings: Settings | None = None,
    report: Report = lambda progress: None,
    stop: Stop = lambda: False,
    resume: Adapter | None = None,
    calibrated: Callable[[int, int], None] = lambda done, total: None,
) -> Adapter:
    """Make an eraser for a concept: train (or solve) it, then calibrate its gate.

    Args:
        denoiser: the loaded model; its weights stay as they are.
        concept: what to erase.
        bank: ordinary prompts of all kinds. Those that hold one of the concept's words are left out; half of
            the others shape the adapter, the other half (at least 99) calibrate the gate.
        mode: "fast", "instant" (closed form, no training) or "paper" (UnGuide as released).
        settings: hyper-parameters; default: the mode's own.
        report: called with the training's `Progress`.
        stop: asked between steps; a stopped training leaves an adapter marked as partial, not calibrated.
        resume: a partial adapter to go on from.
        calibrated: called with (prompts done, prompts in all) during calibration.
    """
    counted = Counted(denoiser)
    settings = settings or (INSTANT if mode == "instant" else Settings())
    others = without_concept(bank, concept)
    keep, negatives = others[0::2], others[1::2]
    adapter = Adapter(
        lora=None, concept=concept, settings=settings, gate=Gate(), family=denoiser.family,  # type: ignore[arg-type]
        base_hash=base_hash(denoiser), prediction_type=denoiser.prediction_type, mode=mode,
    )
    if mode == "instant":
        adapter.lora = closed_form(counted.linears(settings.selector), encode(counted, concept, keep), settings.rank)
    else:
        start, done = (resume.lora, resume.iterations) if resume else (None, 0)
        trained = train(counted, concept, keep, settings, report, stop, start, done)
        adapter.lora, adapter.partial = trained.lora, not trained.complete
        adapter.redirected, adapter.iterations = trained.redirected, trained.iterations
    adapter.evaluations = {"training": counted.evaluations}
    if not adapter.partial:
        adapter.gate = calibrate(counted, adapter, negatives, report=calibrated)
        adapter.evaluations["calibration"] = counted.evaluations - adapter.evaluations["training"]
    return adapter


def without_concept(bank: Sequence[str], concept: Concept) -> list[str]:
    """The bank's prompts that hold none of the concept's words."""
    words = [word.lower() for word in concept.words]
    return [prompt for prompt in bank if not any(word in prompt.lower() for word in words)]
