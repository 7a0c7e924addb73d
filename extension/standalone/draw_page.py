"""A panel to draw with, for the app that has no host around it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr
from PIL import Image

from lora_unlearn import Eraser, Sampling, UnlearnError, denoiser_for
from lora_unlearn.denoiser import base_hash
from lora_unlearn.describe import other_base
from lora_unlearn.guidance import STRENGTH, STRONGEST, Mode
from lora_unlearn.opened import open_set
from lora_unlearn.sets import EVERY

from .. import compat, lists, panels
from ..orders import number, seed_of
from ..studio import LONGEST_PROMPT, Studio
from ..words import INFO
from ..work import SHEET, fitting
from .drawing import Drawing, Drawn
from .host import PipelineHost

NONE = "none"
GATES = ("auto", "on", "off")
MOST = 8
LARGEST_SEED = 2**53 - 1 - MOST
"""A browser's numbers are exact so far."""
QUIET, PACE = 20.0, 0.25
"""Seconds after which a page hears something even if nothing changed, and between two looks at a drawing."""
Updates = list[Any]


class DrawPage:
    """Prompt, eraser, strength, gate; pictures and what the gate decided."""

    def __init__(self, studio: Studio, host: PipelineHost, blocks: gr.Blocks) -> None:
        self.studio, self.host, self.drawing = studio, host, Drawing(studio, host)
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                prompts = self._prompts()
                self.eraser = gr.Dropdown(
                    [NONE], value=NONE, label="Eraser", info=INFO["draw_eraser"], allow_custom_value=True,
                    elem_id="lora_unlearn_draw_eraser",
                )  # fmt: skip
                self._buttons()
                inputs = [*prompts, self.eraser, *self._ways(), *self._sampling()]
            with gr.Column(scale=3, min_width=320):
                self.pictures = gr.Gallery(
                    label="Pictures", columns=2, object_fit="contain", format="png", elem_id="lora_unlearn_gallery"
                )
                self.decided = gr.HTML(visible=False, elem_id="lora_unlearn_decided")
        outputs = [self.note, self.pictures, self.decided, self.draw, self.stop]
        compat.on(self.draw.click, self.begin, inputs, outputs)
        compat.on(prompts[0].submit, self.begin, inputs, outputs)
        compat.on(self.stop.click, self.halt, None, [self.stop])
        for event in (blocks.load, self.eraser.focus):
            compat.on(event, self.refresh, [self.eraser], [self.eraser])

    def _buttons(self) -> None:
        with gr.Row():
            self.draw = gr.Button("Draw", variant="primary", min_width=80, elem_id="lora_unlearn_draw")
            self.stop = gr.Button("Stop", interactive=False, min_width=80, elem_id="lora_unlearn_draw_stop")
        self.note = gr.HTML(visible=False, elem_id="lora_unlearn_draw_note")

    def _prompts(self) -> list[Any]:
        return [
            gr.Textbox(label="Prompt", value="a photo of a cat", lines=2, max_lines=6, elem_id="lora_unlearn_prompt"),
            gr.Textbox(label="Negative prompt", max_lines=3, elem_id="lora_unlearn_negative"),
        ]

    def _ways(self) -> list[Any]:
        return [
            gr.Slider(
                0, STRONGEST, value=1, step=0.05, label="Strength", info=STRENGTH, elem_id="lora_unlearn_strength"
            ),
            gr.Radio(
                list(GATES), value="auto", label="Gate", elem_id="lora_unlearn_gate_mode",
                info="auto: erase only where the prompt asks for the concept. on: in every picture. off: in none.",
            ),
        ]  # fmt: skip

    def _sampling(self) -> list[Any]:
        guidance = fitting(SHEET, denoiser_for(self.host.pipe)).guidance_scale
        with gr.Row():
            seed = gr.Textbox(
                label="Seed", value="0", max_lines=1, info="Of the first picture. -1 or empty: any.",
                elem_id="lora_unlearn_draw_seed",
            )  # fmt: skip
            count = gr.Slider(1, MOST, value=2, step=1, label="Pictures", elem_id="lora_unlearn_draw_count")
        with gr.Row():
            steps = gr.Slider(1, 100, value=25, step=1, label="Steps", elem_id="lora_unlearn_draw_steps")
            scale = gr.Slider(1, 20, value=guidance, step=0.5, label="Guidance", elem_id="lora_unlearn_draw_guidance")
        return [seed, count, steps, scale]

    def refresh(self, chosen: str | None) -> Any:
        """The erasers that there are."""
        names = [NONE, *self.studio.library.offered()]
        known = chosen in names or "*" in (chosen or "")
        return gr.update(choices=names, value=chosen if known else NONE)

    def begin(self, *values: Any) -> Iterator[Updates]:
        """Draw and show how far it is, or say in a sentence why not; older pictures go."""
        try:
            asked = self._asked(*values)
            self.drawing.begin(asked)
        except UnlearnError as error:
            state = self.drawing.state
            yield [compat.html(panels.note(str(error))), *[gr.update()] * 2, *_buttons(state.running)]
            return
        version, shown = -1, -1
        while True:
            state = self.drawing.board.wait(version, QUIET)
            fresh, shown = len(asked.pictures) != shown, len(asked.pictures)
            yield [
                compat.html(panels.progress(state)),
                gr.update(value=gallery(asked)) if fresh else gr.update(),
                compat.html(_told(asked)) if fresh or not state.running else gr.update(),
                *_buttons(state.running, state.stopping),
            ]
            if not state.running:
                return
            version = state.version
            self.drawing.board.pause(PACE)

    def halt(self) -> Any:
        """Ask the drawing to end."""
        self.drawing.stop()
        return gr.update(interactive=False)

    def _asked(
        self,
        prompt: str,
        negative: str,
        name: str | None,
        strength: float,
        gate: str,
        seed: str | float | None,
        count: float,
        steps: float,
        scale: float,
    ) -> Drawn:
        """What the fields ask for.

        Raises:
            UnlearnError: naming the field that is wrong.
        """
        if not (prompt or "").strip():
            raise UnlearnError("The prompt is empty; type what to draw.")
        if max(len(prompt), len(negative or "")) > LONGEST_PROMPT:
            raise UnlearnError(f"A prompt may have {LONGEST_PROMPT} characters at most; shorten it.")
        pictures = number(count, "number of pictures", 1, MOST, whole=True)
        first = seed_of(seed, LARGEST_SEED)
        sampling = Sampling(
            number(steps, "number of steps", 1, 100, whole=True), number(scale, "guidance", 1, 20), negative or ""
        )
        erasers, said = self._chosen(name, number(strength, "strength", 0, STRONGEST), gate)
        return Drawn(prompt, [first + index for index in range(pictures)], sampling, erasers, said)

    def _chosen(self, name: str | None, strength: float, gate: str) -> tuple[list[Eraser], list[str]]:
        """The erasers of a name, or of a set's words, and what to tell of them."""
        if not name or name == NONE:
            return [], []
        if gate not in GATES:
            raise UnlearnError(f"There is no gate mode {str(gate)[:40]!r}; choose one of {', '.join(GATES)}.")
        mode: Mode = gate  # type: ignore[assignment]
        denoiser = denoiser_for(self.host.pipe)
        if EVERY in name:
            opened = open_set(self.studio.library.chosen(name), denoiser.family, strength, mode)
            erasers, said = opened.erasers, opened.lines()
        else:
            erasers, said = [Eraser(self.studio.library.load(name), strength, mode)], []
        other = other_base(erasers, base_hash(denoiser))
        return erasers, [*said, other] if other else said


def _buttons(running: bool, stopping: bool = False) -> Updates:
    """Draw and Stop, while something is drawn or not."""
    return [gr.update(interactive=not running), gr.update(interactive=running and not stopping)]


def _told(asked: Drawn) -> str:
    """What the gates decided for the pictures that are there."""
    concepts = [eraser.adapter.concept.name for eraser in asked.erasers if eraser.strength != 0]
    return panels.decisions(concepts, asked.pictures) + lists.listed(asked.said)


def gallery(asked: Drawn) -> list[tuple[Image.Image, str]]:
    """The pictures that are there, each with its seed."""
    return [(shown.image, f"seed {shown.seed}") for shown in asked.pictures]
