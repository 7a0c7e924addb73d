"""A panel to draw with, for the app that has no host around it."""

from __future__ import annotations

from typing import Any

import gradio as gr
from PIL import Image

from lora_unlearn import Eraser, Picture, Sampling, UnlearnError, denoiser_for
from lora_unlearn.errors import is_memory

from .. import compat, panels
from ..studio import SHORTAGE, Studio
from ..work import SHEET, fitting
from .host import PipelineHost

NONE = "none"
GATES = ("auto", "on", "off")
MOST = 8
LONGEST_PROMPT = 4000
Values = tuple[str, str, str | None, float, str, float, float, float, float]


class DrawPage:
    """Prompt, eraser, strength, gate; pictures and what the gate decided."""

    def __init__(self, studio: Studio, host: PipelineHost, blocks: gr.Blocks) -> None:
        self.studio, self.host = studio, host
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                inputs = [*self._prompts(), *self._eraser(), *self._sampling()]
                draw = gr.Button("Draw", variant="primary", elem_id="lora_unlearn_draw")
            with gr.Column(scale=3, min_width=320):
                note = gr.HTML(visible=False, elem_id="lora_unlearn_draw_note")
                pictures = gr.Gallery(
                    label="Pictures", columns=2, object_fit="contain", format="png", elem_id="lora_unlearn_gallery"
                )
                decided = gr.HTML(visible=False, elem_id="lora_unlearn_decided")
        outputs = [note, pictures, decided]
        compat.on(draw.click, self.draw, inputs, outputs)
        compat.on(inputs[0].submit, self.draw, inputs, outputs)
        compat.on(blocks.load, self.refresh, [self.eraser], [self.eraser])

    def _prompts(self) -> list[Any]:
        return [
            gr.Textbox(label="Prompt", value="a photo of a cat", lines=2, max_lines=6, elem_id="lora_unlearn_prompt"),
            gr.Textbox(label="Negative prompt", max_lines=3, elem_id="lora_unlearn_negative"),
        ]

    def _eraser(self) -> list[Any]:
        self.eraser = gr.Dropdown(
            [NONE], value=NONE, label="Eraser", allow_custom_value=True, elem_id="lora_unlearn_draw_eraser"
        )
        compat.on(self.eraser.focus, self.refresh, [self.eraser], [self.eraser])
        strength = gr.Slider(
            0, 2, value=1, step=0.05, label="Strength", info="0 draws as without it, 1 as it was trained.",
            elem_id="lora_unlearn_strength",
        )  # fmt: skip
        gate = gr.Radio(
            list(GATES), value="auto", label="Gate", elem_id="lora_unlearn_gate_mode",
            info="auto: erase only where the prompt asks for the concept. on: in every picture. off: in none.",
        )  # fmt: skip
        return [self.eraser, strength, gate]

    def _sampling(self) -> list[Any]:
        guidance = fitting(SHEET, denoiser_for(self.host.pipe)).guidance_scale
        with gr.Row():
            seed = gr.Number(label="Seed", value=0, precision=0, elem_id="lora_unlearn_draw_seed")
            count = gr.Slider(1, MOST, value=2, step=1, label="Pictures", elem_id="lora_unlearn_draw_count")
        with gr.Row():
            steps = gr.Slider(1, 100, value=25, step=1, label="Steps", elem_id="lora_unlearn_draw_steps")
            scale = gr.Slider(1, 20, value=guidance, step=0.5, label="Guidance", elem_id="lora_unlearn_draw_guidance")
        return [seed, count, steps, scale]

    def refresh(self, chosen: str | None) -> Any:
        """The erasers that there are."""
        names = [NONE, *self.studio.library.names()]
        return gr.update(choices=names, value=chosen if chosen in names else NONE)

    def draw(self, *values: Any) -> list[Any]:
        """Draw, or say in a sentence why not."""
        try:
            eraser, found = self._drawn(*values)
        except UnlearnError as error:
            return [compat.html(panels.note(str(error))), gr.update(), compat.html("")]
        except (MemoryError, RuntimeError) as error:
            if not is_memory(error):
                raise
            return [compat.html(panels.note(SHORTAGE)), gr.update(), compat.html("")]
        told = "" if eraser is None else panels.decisions(eraser.adapter, found)
        return [compat.html(""), pillow(found), compat.html(told)]

    def _drawn(
        self,
        prompt: str,
        negative: str,
        name: str | None,
        strength: float,
        gate: str,
        seed: float,
        count: float,
        steps: float,
        scale: float,
    ) -> tuple[Eraser | None, list[Picture]]:
        self.studio.check_free()
        if not (prompt or "").strip():
            raise UnlearnError("The prompt is empty; type what to draw.")
        if max(len(prompt), len(negative or "")) > LONGEST_PROMPT:
            raise UnlearnError(f"A prompt may have {LONGEST_PROMPT} characters at most; shorten it.")
        pictures = int(number(count, "number of pictures", 1, MOST))
        first = int(number(seed, "seed", 0, 2**63 - 1 - MOST))
        sampling = Sampling(
            int(number(steps, "number of steps", 1, 100)), number(scale, "guidance", 1, 20), negative or ""
        )
        eraser = self._chosen(name, number(strength, "strength", 0, 2), gate)
        with self.host.lend("Drawing") as lent:
            seeds = [first + index for index in range(pictures)]
            return eraser, lent.draw([prompt] * pictures, seeds, sampling, [eraser] if eraser else [])

    def _chosen(self, name: str | None, strength: float, gate: str) -> Eraser | None:
        if not name or name == NONE:
            return None
        if gate not in GATES:
            raise UnlearnError(f"There is no gate mode {gate!r}; choose one of {', '.join(GATES)}.")
        return Eraser(self.studio.library.load(name), strength, gate)  # type: ignore[arg-type]


def number(value: Any, called: str, low: float, high: float) -> float:
    """A number that a page sent.

    Raises:
        UnlearnError: if it is none, or out of bounds.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise UnlearnError(f"The {called} must be a number from {low:g} to {high:g}.")
    return value


def pillow(found: list[Picture]) -> list[Image.Image]:
    """The pictures alone."""
    return [shown.image for shown in found]
