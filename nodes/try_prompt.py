"""Try Prompt: whether an eraser's gate opens for a prompt, and which word makes it, before anything is drawn.

A node of its own beside Gate Read-out, which tells what a sampler's run decided and has to wait for that run: this one
needs CLIP and an eraser, no sampler, so it answers at once and ComfyUI runs it by itself.
"""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from ..lora_unlearn import Eraser, UnlearnError
from ..lora_unlearn.hosts.sampling import check_family
from ..lora_unlearn.tried import Tried, try_prompt
from .denoiser import ComfyDenoiser
from .messages import readable, told
from .schema import EraserType, clip_input, model_input, schema
from .training import check_parts

MARKED = 0.5
"""A word is marked if it counts at least so much of what the strongest one does."""


class TryPrompt(io.ComfyNode):
    """Ask a gate about one prompt."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return schema(
            node_id="LoraUnlearnTryPrompt",
            display_name="Try Prompt",
            description="Tells whether an eraser would act on a prompt, and which word makes it, without drawing "
            "anything.",
            search_aliases=["gate", "test prompt", "which word"],
            inputs=[
                model_input(),
                clip_input(),
                EraserType.Input("eraser", tooltip="The eraser whose gate is asked."),
                io.String.Input(
                    "prompt",
                    default="",
                    multiline=True,
                    placeholder="a photo of a cat",
                    tooltip="The prompt to try, as you would draw it.",
                ),
            ],
            outputs=[
                io.Boolean.Output(display_name="open", tooltip="Whether the gate opens."),
                io.String.Output(
                    display_name="text",
                    tooltip="The answer, the prompt with the words in brackets that count, details.",
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    @readable
    def execute(cls, model: Any, clip: Any, eraser: Any, prompt: str) -> io.NodeOutput:
        """Ask, and show."""
        check_parts(model, clip)
        if eraser.partial:
            raise UnlearnError("This eraser's training was not finished, so its gate can't be asked; finish it first.")
        denoiser = ComfyDenoiser(model, clip)
        check_family(Eraser(eraser), denoiser.family)
        tried = try_prompt(denoiser, eraser, prompt)
        text = "\n".join(answered(tried))
        return io.NodeOutput(tried.open, text, ui=told(text))


def answered(tried: Tried) -> list[str]:
    """The answer in words, the prompt with the words that opened the gate in brackets, and the numbers."""
    marked = [f"[{text}]" if share >= MARKED else text for text, share in tried.parts]
    shown = ["prompt: " + " ".join("".join(marked).split())] if tried.open and tried.word else []
    return [str(tried), *shown, f"details: score {tried.score:.2f}, opens from {tried.threshold:.2f}"]
