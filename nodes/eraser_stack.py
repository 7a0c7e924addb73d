"""Eraser Stack: several erasers on one model, each with its own toggle, strength and gate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import folder_paths
import torch
from comfy_api.v0_0_2 import io

from ..lora_unlearn import Adapter, Eraser
from .guide import apply_erasers, encoded_for
from .messages import readable, show
from .same_model import others_told
from .schema import EraserType, advanced, clip_input, eraser_of, gate_input, model_input, schema

SLOTS = 5
SHOWN = 3
"""Slots whose widgets are not folded away."""
NONE = "none"
NAME = "Eraser Stack (several)"
"""Longer than Erase Concept: whoever searches for "erase" finds the shorter name first."""


class EraserStack(io.ComfyNode):
    """Put several erasers to work on a model."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs; the lists of files are made anew whenever the page asks for them."""
        names = [name for name in folder_paths.get_filename_list("loras") if name.endswith(".safetensors")]
        sockets = [
            EraserType.Input(
                f"eraser_{slot}",
                optional=True,
                tooltip=f"Eraser {slot}, from Erase Concept or Train Eraser; it goes before the file chosen below.",
            )
            for slot in range(1, SLOTS + 1)
        ]
        widgets = [widget for slot in range(1, SLOTS + 1) for widget in slot_inputs(slot, names)]
        return schema(
            node_id="LoraUnlearnEraserStack",
            display_name=NAME,
            search_aliases=["several concepts", "multiple erasers", "toggle"],
            description="Samples under up to five erasers at once. Each decides by itself, picture by picture, whether "
            "it is needed. For more, connect one stack after the other.",
            inputs=[model_input(), clip_input(optional=True), *sockets, *widgets],
            outputs=[io.Model.Output(display_name="model", tooltip="The model, under the erasers that are on.")],
        )

    @classmethod
    def validate_inputs(
        cls, file_1: str = NONE, file_2: str = NONE, file_3: str = NONE, file_4: str = NONE, file_5: str = NONE
    ) -> bool | str:
        """Accept files that came after the page was loaded."""
        gone = [name for name in (file_1, file_2, file_3, file_4, file_5) if name != NONE and path_of(name) is None]
        return not gone or f"There is no file {gone[0]} in the loras folders any more; choose another, or none."

    @classmethod
    def fingerprint_inputs(cls, **values: Any) -> str:
        """Read a file again when it has changed."""
        paths = [path_of(values.get(f"file_{slot}") or NONE) for slot in range(1, SLOTS + 1)]
        return " ".join(f"{path} {path.stat().st_mtime_ns}" for path in paths if path)

    @classmethod
    @readable
    def execute(cls, model: Any, clip: Any = None, **slots: Any) -> io.NodeOutput:
        """Apply what is on."""
        erasers = [eraser for slot in range(1, SLOTS + 1) if (eraser := eraser_in(slots, slot)) is not None]
        changed = apply_erasers(model, erasers, encoded_for(model, clip, erasers))
        if erasers and (said := others_told(model, erasers)):
            show(said)
        return io.NodeOutput(changed)


def slot_inputs(slot: int, names: list[str]) -> list[Any]:
    """The widgets of one slot."""
    gate = gate_input()
    gate.id = f"gate_{slot}"
    widgets = [
        io.Combo.Input(
            f"file_{slot}",
            options=[NONE, *names],
            default=NONE,
            tooltip=f"Eraser {slot} from the loras folders, as Export Eraser wrote it. none: the slot is free, unless "
            "an eraser is connected.",
        ),
        io.Boolean.Input(
            f"enabled_{slot}",
            default=True,
            label_on="on",
            label_off="off",
            tooltip=f"Off: eraser {slot} is left out; its strength stays as it is.",
        ),
        io.Float.Input(
            f"strength_{slot}",
            default=1.0,
            min=0.0,
            max=3.0,
            step=0.05,
            tooltip=f"How strongly eraser {slot} erases, 0 to 3. 0: not at all. 1: as trained.",
        ),
    ]
    for widget in widgets:
        widget.optional = True
    return [*(widgets if slot <= SHOWN else map(advanced, widgets)), gate]


def path_of(name: str) -> Path | None:
    """Where a file of the list lies; None if it is gone, or none."""
    path = None if name == NONE else folder_paths.get_full_path("loras", name)
    return Path(path) if path else None


def eraser_in(slots: dict[str, Any], slot: int) -> Eraser | None:
    """The eraser of one slot; None if there is none, or it is off.

    Raises:
        UnlearnError: if the file is no eraser, or damaged.
    """
    adapter, file = slots.get(f"eraser_{slot}"), slots.get(f"file_{slot}", NONE)
    if not slots.get(f"enabled_{slot}", True) or (adapter is None and file == NONE):
        return None
    if adapter is None:
        with torch.inference_mode(False):
            adapter = Adapter.load(folder_paths.get_full_path_or_raise("loras", file))
    return eraser_of(adapter, slots.get(f"strength_{slot}", 1.0), slots.get(f"gate_{slot}", "auto"))
