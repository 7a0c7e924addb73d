"""Merge Erasers: several erasers as one ordinary LoRA file."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.v0_0_2 import io

from ..lora_unlearn.files import write_safetensors
from ..lora_unlearn.formats import to_diffusers, to_stock
from ..lora_unlearn.join import joined
from ..lora_unlearn.merging import MERGES, takes
from ..lora_unlearn.written import Written, check_replaceable, marked
from .eraser_files import FORMATS, lora_file
from .messages import readable, told
from .schema import EraserType, advanced, schema

SLOTS = 5
SHOWN = 2
"""Slots that must be filled."""


class MergeErasers(io.ComfyNode):
    """Make one LoRA of several erasers and write it to the LoRA folder."""

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
                *(advanced(widget) for widget in method_inputs()),
            ],
            outputs=[
                io.String.Output(display_name="path", tooltip="The file that was written."),
                io.Int.Output(display_name="bytes", tooltip="Its size."),
            ],
            is_output_node=True,
        )

    @classmethod
    @readable
    def execute(
        cls, name: str, format: str, method: str = "stack", rank: int = 0, density: float = 0.5, **slots: Any
    ) -> io.NodeOutput:
        """Merge, write the file and show where it is."""
        numbers = [slot for slot in range(1, SLOTS + 1) if slots.get(f"eraser_{slot}") is not None]
        parts = [(slots[f"eraser_{slot}"], slots.get(f"strength_{slot}", 1.0)) for slot in numbers]
        options = {"rank": rank or None, "density": density if takes(method, "density") else None}
        with torch.inference_mode(False), torch.no_grad():
            lora, metadata = joined(parts, method, **options)
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


def method_inputs() -> list[Any]:
    """How they become one; behind the inputs that were there before, for saved widgets are told by their order."""
    return [
        io.Combo.Input(
            "method",
            options=list(MERGES),
            default="stack",
            tooltip="stack: adds up all that they do. soup: their mean. ties: the mean of the stronger side, value by "
            "value. dare: adds up random parts. negmerge: the mean of what all agree on.",
        ),
        io.Int.Input(
            "rank",
            default=0,
            min=0,
            max=128,
            tooltip="Directions in each layer, 1 to 128; it decides the file's size. 0: as many as it takes.",
        ),
        io.Float.Input(
            "density",
            default=0.5,
            min=0.01,
            max=1.0,
            step=0.01,
            tooltip="Share of each eraser that ties and dare keep, 0.01 to 1. The other methods keep all.",
        ),
    ]
