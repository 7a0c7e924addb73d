"""Before / After: the same seeds with and without an eraser, neighbours included, on one sheet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import comfy.samplers
import torch
from comfy_api.v0_0_2 import io
from torch import Tensor

import nodes

from ..lora_unlearn import Adapter, UnlearnError
from ..lora_unlearn.families import FAMILIES
from ..lora_unlearn.neighbours import neighbours
from .denoiser import ComfyDenoiser
from .families import family_of
from .gate_readout import made_by
from .guide import apply_erasers, encoded_for
from .messages import readable
from .pictures import shown, to_image, to_pillow
from .schema import EraserType, advanced, at_work, clip_input, eraser_of, gate_input, schema
from .stages import COMPARING, DRAWING, SUGGESTING, Stages
from .training import check_parts

host: Any = nodes
"""ComfyUI's own nodes, not this package."""

CELL = 512
"""Longest side of a picture on the sheet, in pixels."""


class BeforeAfter(io.ComfyNode):
    """Draw prompts twice and lay the pictures side by side."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return schema(
            node_id="LoraUnlearnBeforeAfter",
            display_name="Before / After",
            description="Draws prompts with the same seeds without and with an eraser, and lays the pictures side by "
            "side: the concept should be gone on the right, its neighbours should be the same on both sides.",
            inputs=[
                io.Model.Input("model", tooltip="The model without the eraser, as the checkpoint loader gives it."),
                EraserType.Input("eraser", tooltip="The eraser to look at."),
                clip_input(),
                io.Vae.Input("vae", tooltip="The autoencoder that belongs to the model."),
                io.String.Input(
                    "prompts",
                    default="",
                    multiline=True,
                    placeholder="a photo of a cat",
                    tooltip="One prompt a line, one row of the sheet each. Empty: the concept and its two nearest "
                    "neighbours.",
                ),
                io.Float.Input(
                    "strength", default=1.0, min=0.0, max=3.0, step=0.05, tooltip="How strongly to erase, 0 to 3."
                ),
                *sampling_inputs(),
                gate_input(),
            ],
            outputs=[
                io.Image.Output(display_name="sheet", tooltip="All pictures, labelled: left without, right with."),
                io.Image.Output(display_name="before", tooltip="The pictures without the eraser, row by row."),
                io.Image.Output(display_name="after", tooltip="The pictures with the eraser, in the same order."),
            ],
            is_output_node=True,
        )

    @classmethod
    @readable
    def execute(
        cls,
        model: Any,
        eraser: Any,
        clip: Any,
        vae: Any,
        prompts: str,
        strength: float,
        gate: str = "auto",
        **sampling: Any,
    ) -> io.NodeOutput:
        """Draw everything without, then with the eraser."""
        check_parts(model, clip)
        if vae is None:
            raise UnlearnError("There is no autoencoder: connect VAE from the checkpoint loader, or from a VAE loader.")
        erasers = [eraser_of(eraser, strength, gate)]
        erased = apply_erasers(model, erasers, encoded_for(model, clip, erasers))
        lines = [line.strip() for line in prompts.splitlines() if line.strip()]
        with Stages("Before / After", {DRAWING: 8} if lines else {COMPARING: 1, DRAWING: 8}) as stages:
            lines = lines or usual_prompts(model, clip, eraser, stages)
            pairs = compare(model, erased, lines, Studio(clip, vae, **sampling), stages)
        page = pairs.page(at_work(strength, gate))
        shows = shown(cls, "\n".join(pairs.labels), page)
        return io.NodeOutput(page, torch.cat(pairs.before), torch.cat(pairs.after), ui=shows)


def sampling_inputs() -> list[Any]:
    """How the pictures are drawn, with the stock sampler's names."""
    return [
        io.Int.Input(
            "seed",
            default=0,
            min=0,
            max=2**64 - 1,
            control_after_generate=False,
            tooltip="Of the noise; the same on both sides.",
        ),
        io.Int.Input("steps", default=20, min=1, max=1000, tooltip="Sampling steps, 1 to 1000."),
        io.Float.Input(
            "cfg",
            default=7.0,
            min=0.0,
            max=100.0,
            step=0.1,
            tooltip="Guidance scale, 0 to 100; Flux and Turbo models: 1.",
        ),
        io.Combo.Input("sampler_name", options=comfy.samplers.KSampler.SAMPLERS, tooltip="The stock samplers."),
        io.Combo.Input("scheduler", options=comfy.samplers.KSampler.SCHEDULERS, tooltip="The stock schedulers."),
        advanced(
            io.Int.Input("pictures", default=1, min=1, max=16, tooltip="Pictures of each prompt on each side, 1 to 16.")
        ),
        advanced(
            io.Int.Input(
                "size",
                default=0,
                min=0,
                max=4096,
                step=16,
                tooltip="Side of the square pictures in pixels, 16 to 4096; 0: what the model was made for.",
            )
        ),
        advanced(io.String.Input("negative", default="", tooltip="Negative prompt, the same on both sides.")),
    ]


@dataclass(frozen=True)
class Studio:
    """How pictures are drawn: by the host's own nodes, as a graph of them would."""

    clip: Any
    vae: Any
    seed: int
    steps: int
    cfg: float
    sampler_name: str
    scheduler: str
    pictures: int = 1
    size: int = 0
    negative: str = ""

    def draw(self, model: Any, prompt: str) -> Tensor:
        """Pictures of one prompt as an IMAGE (B,H,W,3)."""
        known = FAMILIES[family_of(model)]
        side = self.size or known.pixels * known.side
        positive, negative = (host.CLIPTextEncode().encode(self.clip, text)[0] for text in (prompt, self.negative))
        latent = host.EmptyLatentImage().generate(side, side, self.pictures)[0]
        words = (self.seed, self.steps, self.cfg, self.sampler_name, self.scheduler, positive, negative, latent)
        return host.VAEDecode().decode(self.vae, host.common_ksampler(model, *words)[0])[0]


@dataclass(frozen=True)
class Pairs:
    """Pictures of some prompts, IMAGEs (B,H,W,3) without and with an eraser, and what the gate said to each prompt."""

    before: list[Tensor]
    after: list[Tensor]
    labels: list[str]

    def page(self, how: str) -> Tensor:
        """All of them on one labelled sheet, an IMAGE of one picture; it says itself at which settings it was drawn."""
        from ..lora_unlearn.report import sheet

        rows = [
            (label, to_pillow(torch.cat([left, right])))
            for label, left, right in zip(self.labels, self.before, self.after, strict=True)
        ]
        columns = ["before", *[""] * (len(self.before[0]) - 1), "after"]
        return to_image(sheet(rows, columns, min(CELL, max(self.before[0].shape[1:3])), how))


def compare(model: Any, erased: Any, prompts: list[str], studio: Studio, stages: Stages) -> Pairs:
    """Draw prompts with two models from the same seeds."""
    before, after, labels, count = list[Tensor](), list[Tensor](), list[str](), len(prompts)
    stages.course.close(SUGGESTING, COMPARING)  # neither is always needed
    for index, prompt in enumerate(prompts):
        with stages.within(DRAWING, index, 2 * count):
            before.append(studio.draw(model, prompt))
    for index, prompt in enumerate(prompts):
        with stages.within(DRAWING, count + index, 2 * count):
            after.append(studio.draw(erased, prompt))
        labels.append(f"{prompt} {verdict(erased)}".strip())
    return Pairs(before, after, labels)


def usual_prompts(model: Any, clip: Any, adapter: Adapter, stages: Stages) -> list[str]:
    """The concept and its two nearest neighbours."""
    with torch.inference_mode(False):
        near = neighbours(ComfyDenoiser(model, clip), adapter, report=stages.passes(COMPARING))
    return [adapter.concept.probe, *near]


def verdict(model: Any) -> str:
    """What the gate said to the latest prompt, in brackets; nothing where there is no eraser at work."""
    found = made_by(model)
    opened = [reading.decision.open for reading in found.readings()] if found else []
    if not opened:
        return ""
    if len(set(opened)) > 1:
        return f"(gate open in {opened.count(True)} of {len(opened)})"
    return "(gate open)" if opened[0] else "(gate closed)"
