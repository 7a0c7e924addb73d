"""Inspect Eraser: what an eraser says of itself."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from ..lora_unlearn.describe import describe
from .messages import told
from .schema import EraserType, schema


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
            inputs=[EraserType.Input("eraser", tooltip="The eraser to read.")],
            outputs=[io.String.Output(display_name="text", tooltip="One fact a line.")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, eraser: Any) -> io.NodeOutput:
        """Read and show."""
        text = "\n".join(describe(eraser))
        return io.NodeOutput(text, ui=told(text))
