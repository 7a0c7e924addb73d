"""One sampling run in our own hands, under the same guidance as in every host, with all that an attacker may change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ...denoiser import Conditioning, Denoiser, derivative
from ...guidance import Decision, Eraser, Guidance
from ...look import Look
from ...lora import Lora


@dataclass(frozen=True)
class Way:
    """How a picture is asked for. Lists hold one entry a step; the last one serves all steps that follow.

    Attributes:
        positive, negative: conditionings of one row. Empty negatives: no guidance.
        scale: the guidance scale G: e_neg + G (e_pos - e_neg).
        start: the state to begin with, (1,C,H,W), at the noise level of step `first`; None: the seed's noise.
        first: the step at which the run begins.
        tuned: a LoRA of the attacker's, beside the eraser.
    """

    positive: Sequence[Conditioning]
    negative: Sequence[Conditioning] = ()
    scale: float = 1.0
    start: Tensor | None = None
    first: int = 0
    tuned: Lora | None = None


@dataclass
class Picture:
    """A drawn picture, its last state (1,C,H,W), and what the gate decided."""

    image: Image.Image
    state: Tensor
    decision: Decision


@dataclass
class Run:
    """The evaluations of a run, handed to `Guidance` as a host hands over its own."""

    denoiser: Denoiser
    x: Tensor
    sigma: Tensor
    conditioning: Conditioning
    positive: Tensor = field(init=False)
    negative: Tensor | None = field(init=False)

    def __post_init__(self) -> None:
        self.positive = torch.tensor([0])
        self.negative = torch.tensor([1]) if len(self.conditioning) == 2 else None

    def base(self) -> Tensor:
        """All rows."""
        return self.evaluate(torch.arange(len(self.conditioning)), self.conditioning)

    def evaluate(self, rows: Tensor, conditioning: Conditioning) -> Tensor:
        """Some rows under other conditionings: all rows share one state."""
        count = len(rows)
        return self.denoiser.predict(self.x.expand(count, -1, -1, -1), self.sigma.expand(count), conditioning)


@torch.no_grad()
def draw(denoiser: Denoiser, way: Way, seed: int, steps: int, eraser: Eraser) -> Picture:
    """Draw by Euler's method; the adapter must be attached.

    Args:
        seed: of the noise.
        steps: of a whole run; one that begins later has fewer.
        eraser: in mode "off" the guidance does nothing, and the attacker's own LoRA stays away, too.
    """
    sigmas = denoiser.sigmas(steps)
    x = denoiser.initial_noise(1, torch.Generator().manual_seed(seed)) if way.start is None else way.start
    guidance = Guidance([eraser], denoiser.encode, steps, Look(denoiser))
    tuned = way.tuned if eraser.mode != "off" else None
    with _beside(denoiser, tuned) if tuned else nullcontext():
        for index in range(way.first, steps):
            sigma = sigmas[index].reshape(1).to(x)
            asked = [at(way.positive, index), *([at(way.negative, index)] if way.negative else [])]
            found = guidance.step(Run(denoiser, x, sigma, Conditioning.cat(asked)), index)
            slope = found[:1] if len(found) == 1 else found[1:] + way.scale * (found[:1] - found[1:])
            slope = derivative(x, sigma, slope, denoiser.prediction_type)
            x = x + slope * (sigmas[index + 1] - sigmas[index]).to(x)
    decisions = guidance.decisions(0)
    return Picture(decoded(denoiser, x), x, decisions[0] if decisions else Decision(False, by="mode"))


@contextmanager
def _beside(denoiser: Denoiser, tuned: Lora) -> Iterator[None]:
    with tuned.attached(denoiser.linears("cross_kv")), tuned.rows(torch.ones(1)):
        yield


def at(entries: Sequence[Conditioning], index: int) -> Conditioning:
    """The entry of a step."""
    return entries[min(index, len(entries) - 1)]


def decoded(denoiser: Any, state: Tensor) -> Image.Image:
    """The picture of a latent state (1,C,H,W), by the pipeline's own autoencoder, in its own precision or better."""
    vae = denoiser.pipe.vae
    half, shift = vae.dtype == torch.float16, getattr(vae.config, "shift_factor", None) or 0.0
    if half:  # SDXL's overflows in float16
        vae.to(torch.float32)
    try:
        pixels = vae.decode(state.to(vae.dtype) / vae.config.scaling_factor + shift, return_dict=False)[0]
    finally:
        if half:
            vae.to(torch.float16)
    levels = ((pixels[0].float() + 1) * 127.5).clamp(0, 255).round().byte()
    return Image.fromarray(levels.permute(1, 2, 0).cpu().numpy())
