"""Calibrate Eraser: measure a gate anew on the checkpoint that is loaded."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.v0_0_2 import io

from ..lora_unlearn import Adapter, Eraser
from ..lora_unlearn.describe import gate_details, gate_promise
from ..lora_unlearn.erase import recalibrated, usual_negatives
from ..lora_unlearn.hosts.sampling import check_family
from ..lora_unlearn.look import LOOK_MODES
from .denoiser import ComfyDenoiser
from .messages import readable, told
from .outcome import set_aside
from .schema import EraserType, advanced, clip_input, model_input, schema
from .stages import CALIBRATING, LOOKING, Stages
from .training import check_parts

AS_MADE = "as it was made"


class CalibrateEraser(io.ComfyNode):
    """Choose a gate's threshold for another checkpoint, or with prompts of one's own."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return schema(
            node_id="LoraUnlearnCalibrateEraser",
            display_name="Calibrate Eraser",
            description="Measures anew when an eraser's gate should open, on the checkpoint that is loaded: for an "
            "eraser made on another one, or for prompts of your own. The given eraser stays as it is.",
            inputs=[
                model_input(),
                clip_input(),
                EraserType.Input("eraser", tooltip="The eraser whose gate is measured."),
                io.String.Input(
                    "keep_closed",
                    default="",
                    multiline=True,
                    optional=True,
                    placeholder="a photo of a tiger",
                    tooltip="Your own prompts that must not open the gate, one a line; they join the pack's list.",
                ),
                io.Float.Input(
                    "false_open_rate",
                    default=0.01,
                    min=0.001,
                    max=0.5,
                    step=0.001,
                    optional=True,
                    tooltip="Largest share of ordinary prompts that may open the gate, 0.001 to 0.5 (0.01 is 1 %). A "
                    "smaller one also misses more prompts with the concept.",
                ),
                advanced(
                    io.String.Input(
                        "must_open",
                        default="",
                        multiline=True,
                        tooltip="Prompts that must open the gate, one a line. Empty: sentences with the concept.",
                    )
                ),
                advanced(
                    io.Combo.Input(
                        "look",
                        options=[AS_MADE, *LOOK_MODES],
                        default=AS_MADE,
                        tooltip="Who decides whether a prompt asks for the concept: text, its words; careful, also the "
                        "network, about what the words leave closed; always, the network alone.",
                    )
                ),
            ],
            outputs=[
                EraserType.Output(display_name="eraser", tooltip="A copy of the eraser, with the new gate."),
                io.String.Output(display_name="text", tooltip="What was measured."),
            ],
            is_output_node=True,
        )

    @classmethod
    @readable
    def execute(
        cls,
        model: Any,
        clip: Any,
        eraser: Any,
        keep_closed: str = "",
        false_open_rate: float = 0.01,
        must_open: str = "",
        look: str = AS_MADE,
    ) -> io.NodeOutput:
        """Measure."""
        check_parts(model, clip)
        closed, opened = lines(keep_closed), lines(must_open)
        mode: Any = eraser.gate.look_mode if look == AS_MADE else look
        work = {CALIBRATING: 1.0} if mode == "text" else {CALIBRATING: 1.0, LOOKING: 1.0}
        with Stages(f"Calibrating {eraser.concept.name}", work) as stages, torch.inference_mode(False):
            denoiser = ComfyDenoiser(model, clip)
            check_family(Eraser(eraser), denoiser.family)
            negatives = [*closed, *usual_negatives(denoiser.family, eraser.concept)]
            report = stages.passes(*work)
            asked = None if look == AS_MADE else mode
            found = recalibrated(denoiser, eraser, negatives, opened or None, false_open_rate, report, asked)
        text = summary(eraser, found, closed)
        return io.NodeOutput(found, text, ui=told(text))


def lines(text: str) -> list[str]:
    """Prompts, one a line."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def summary(before: Adapter, after: Adapter, own: list[str]) -> str:
    """What the gate promises, which of the user's own prompts were not counted, and the numbers, the old one last."""
    numbers = [*gate_details(after), f"gate, before: opened from a score of {before.gate.threshold:.3f}"]
    return "\n".join([*gate_promise(after), *set_aside(after, own), *numbers])
