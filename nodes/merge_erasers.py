"""Merge Erasers: several erasers as one ordinary LoRA file."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.v0_0_2 import io

from ..lora_unlearn.files import write_safetensors
from ..lora_unlearn.formats import to_diffusers, to_stock
from ..lora_unlearn.join import joined
from ..lora_unlearn.written import Written, check_replaceable, marked
from .eraser_files import FORMATS, lora_file
from .messages import readable, told
from .schema import EraserType, advanced, schema

SLOTS = 5
SHOWN = 2
"""Slots that must be filled."""


class MergeErasers(io.ComfyNode):
    """Add erasers up and write them to the LoRA folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        sockets = [
            EraserType.Input(f"eraser_{slot}", optional=slot > SHOWN, tooltip=f"Eraser {slot}, of the same family.")
            for slot in range(1, SLOTS + 1)
        ]
        strengths = [
            io.Float.Input(
                f"strength_{slot}",
                default=1.0,
                min=-3.0,
                max=3.0,
                step=0.05,
                optional=True,
                tooltip=f"How much of eraser {slot} goes into the file, -3 to 3. 1: as trained.",
            )
            for slot in range(1, SLOTS + 1)
        ]
        return schema(
            node_id="LoraUnlearnMergeErasers",
            display_name="Merge Erasers",
            description="Saves two to five erasers as one ordinary LoRA for any loader. Gates cannot be merged: the "
            "file erases in every picture. To keep a gate for each, use Eraser Stack instead.",
            inputs=[
                *sockets,
                *(widget if slot < SHOWN else advanced(widget) for slot, widget in enumerate(strengths)),
                io.String.Input(
                    "name",
                    default="erase_several",
                    tooltip="File name without ending, styles/several for a folder in loras; an older one of several "
                    "erasers is replaced, no other.",
                ),
                io.Combo.Input(
                    "format",
                    options=FORMATS,
                    default="LoRA",
                    tooltip="LoRA: for ComfyUI, A1111 and Forge. diffusers: for pipe.load_lora_weights. Both without "
                    "gates.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="path", tooltip="The file that was written."),
                io.Int.Output(display_name="bytes", tooltip="Its size."),
            ],
            is_output_node=True,
        )

    @classmethod
    @readable
    def execute(cls, name: str, format: str, **slots: Any) -> io.NodeOutput:
        """Merge, write the file and show where it is."""
        numbers = [slot for slot in range(1, SLOTS + 1) if slots.get(f"eraser_{slot}") is not None]
        parts = [(slots[f"eraser_{slot}"], slots.get(f"strength_{slot}", 1.0)) for slot in numbers]
        with torch.inference_mode(False), torch.no_grad():
            lora, metadata = joined(parts)
        path, shown = lora_file(name)
        family = parts[0][0].family
        wanted = Written("merged", family=family)
        check_replaceable(path, wanted, remedy="choose another name")
        if format == "diffusers":
            write_safetensors(path, to_diffusers(lora, family), marked({"format": "pt"}, wanted))
        else:
            write_safetensors(path, to_stock(lora, family), marked(metadata, wanted))
        size = path.stat().st_size
        text = f"{shown} ({size / 1024:.0f} kB, without gates) in {path.parent}"
        return io.NodeOutput(str(path), size, ui=told(text))
