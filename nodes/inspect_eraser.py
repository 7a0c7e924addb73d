"""Inspect Eraser: what an eraser says of itself."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from ..lora_unlearn.describe import describe, gate_details
from .cache import CACHE
from .messages import readable, told
from .schema import EraserType, advanced, schema


class InspectEraser(io.ComfyNode):
    """Tell what an eraser is."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return schema(
            node_id="LoraUnlearnInspectEraser",
            display_name="Inspect Eraser",
            description="Tells what an eraser erases, how it was trained, what its gate promises and for which model "
            "it was made.",
            inputs=[
                EraserType.Input("eraser", tooltip="The eraser to read."),
                advanced(
                    io.Combo.Input(
                        "kept_erasers",
                        options=["keep", "clear all"],
                        default="keep",
                        tooltip="Trained erasers are kept in ComfyUI/user/lora_unlearn. clear all: delete them there; "
                        "each is then trained again when it is needed.",
                    )
                ),
            ],
            outputs=[io.String.Output(display_name="text", tooltip="One fact a line.")],
            is_output_node=True,
        )

    @classmethod
    @readable
    def execute(cls, eraser: Any, kept_erasers: str = "keep") -> io.NodeOutput:
        """Read and show; clear the cache if that was asked for."""
        cleared = CACHE.clear() if kept_erasers == "clear all" else None
        kept = CACHE.summary() if cleared is None else f"kept erasers: {cleared} deleted"
        numbers = gate_details(eraser)
        text = "\n".join([*(line for line in describe(eraser) if line not in numbers), kept, *numbers])
        return io.NodeOutput(text, ui=told(text))
