"""The extension's page in the host's settings."""

from __future__ import annotations

import gradio as gr
from modules import shared

SECTION = ("lora_unlearn", "LoRA Unlearn")
SLOTS = "lora_unlearn_slots"
DECISIONS = "lora_unlearn_decisions"
ANYWAY = "lora_unlearn_draw_anyway"
DEFAULT_SLOTS = 3


def add_settings() -> None:
    """The host's callback: the options of our page."""
    slots = {"minimum": 1, "maximum": 8, "step": 1}
    shared.opts.add_option(
        SLOTS,
        shared.OptionInfo(
            DEFAULT_SLOTS, "Erasers in the accordion", gr.Slider, slots, section=SECTION
        ).needs_reload_ui(),
    )
    shared.opts.add_option(
        DECISIONS,
        shared.OptionInfo(True, "Write what each gate decided into a picture's infotext", section=SECTION),
    )
    shared.opts.add_option(
        ANYWAY,
        shared.OptionInfo(
            False,
            "Draw without erasing when an eraser that is on cannot work (its file is gone, it does not fit the model); "
            "otherwise nothing is drawn",
            section=SECTION,
        ),
    )


def slots() -> int:
    """How many erasers the accordion has room for."""
    return max(1, min(8, int(getattr(shared.opts, SLOTS, DEFAULT_SLOTS))))


def drawn_anyway() -> bool:
    """Whether pictures are made without an eraser that cannot work."""
    return bool(getattr(shared.opts, ANYWAY, False))


def decisions_wanted() -> bool:
    """Whether decisions go to the infotext."""
    return bool(getattr(shared.opts, DECISIONS, True))
