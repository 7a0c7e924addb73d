"""Demo Checkpoint: the tiny model that ships with the pack."""

from __future__ import annotations

from comfy_api.v0_0_2 import io

from .messages import readable
from .schema import schema


class DemoCheckpoint(io.ComfyNode):
    """Load the shipped model, so that the example workflows run without any download."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Outputs; there is nothing to choose."""
        return schema(
            node_id="LoraUnlearnDemoCheckpoint",
            display_name="Demo Checkpoint",
            description="A tiny text-to-image model of emoji that ships with this pack: 128 x 128 pixels, 22 objects "
            "in five styles, a second for a picture on any machine.",
            inputs=[],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The U-Net."),
                io.Clip.Output(display_name="clip", tooltip="The text encoder."),
                io.Vae.Output(display_name="vae", tooltip="The autoencoder; latents are 16 x 16."),
            ],
        )

    @classmethod
    @readable
    def execute(cls) -> io.NodeOutput:
        """Build it from ComfyUI's own classes."""
        from .demo import load_demo

        return io.NodeOutput(*load_demo())
