"""A field to ask an eraser's gate about a prompt, before anything is drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from lora_unlearn import UnlearnError

from . import compat, panels
from .studio import Studio
from .words import INFO


class TryField:
    """Builds the components in the current gradio context; `connect` gives them life.

    Attributes:
        row: everything but the answer.
    """

    def __init__(self, studio: Studio, name: str, visible: bool = True) -> None:
        self.studio = studio
        with gr.Row(visible=visible, elem_id=f"lora_unlearn_{name}_row") as self.row:
            self.prompt = gr.Textbox(
                label="Try a prompt", info=INFO["try"], placeholder="a kitten on a sofa", max_lines=1, scale=4,
                elem_id=f"lora_unlearn_{name}",
            )  # fmt: skip
            self.button = gr.Button("Try", min_width=80, scale=1, elem_id=f"lora_unlearn_{name}_button")
        self.answer = gr.HTML(visible=False, elem_id=f"lora_unlearn_{name}_answer")

    def connect(self, further: list[Any], eraser: Callable[..., str | None]) -> None:
        """Answer on Enter and on the button; `eraser` tells from the values of `further` which one is asked."""

        def ask(prompt: str, *values: Any) -> Any:
            return compat.html(self.answered(eraser(*values), prompt or ""))

        compat.on(self.button.click, ask, [self.prompt, *further], [self.answer])
        compat.on(self.prompt.submit, ask, [self.prompt, *further], [self.answer])

    def answered(self, eraser: str | None, prompt: str) -> str:
        """The answer as markup; a sentence where there is none."""
        try:
            return panels.tried(self.studio.try_prompt(eraser, prompt))
        except UnlearnError as error:
            return panels.note(str(error))
