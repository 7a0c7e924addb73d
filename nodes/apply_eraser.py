"""Apply Eraser: sample under an eraser."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

from ..lora_unlearn.describe import other_clip_skip
from .families import clip_skip_of, family_of
from .guide import apply_erasers, encoded_for
from .messages import readable, show
from .same_model import others_told
from .schema import EraserType, clip_input, eraser_of, gate_input, model_input, schema, strength_inputs


class ApplyEraser(io.ComfyNode):
    """Put an eraser to work on a model."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return schema(
            node_id="LoraUnlearnApplyEraser",
            display_name="Apply Eraser",
            description="Samples under an eraser, after those that the model already carries. Strength, gate and "
            "toggle act at once: nothing is trained.",
            inputs=[
                model_input(),
                EraserType.Input("eraser", tooltip="From Train Eraser, Load Eraser or Erase Concept."),
                *strength_inputs(),
                gate_input(),
                clip_input(optional=True),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="The model, under the eraser.")],
        )

    @classmethod
    @readable
    def execute(
        cls, model: Any, eraser: Any, strength: float, enabled: bool, gate: str = "auto", clip: Any = None
    ) -> io.NodeOutput:
        """Apply it; switched off or at strength 0 the model passes through."""
        if not enabled:
            return io.NodeOutput(model)
        erasers = [eraser_of(eraser, strength, gate)]
        changed = apply_erasers(model, erasers, encoded_for(model, clip, erasers))
        skip = other_clip_skip(eraser, clip_skip_of(clip, family_of(model))) if clip is not None else ""
        if said := " ".join(filter(None, (skip, others_told(model, erasers)))):
            show(said)
        return io.NodeOutput(changed)
