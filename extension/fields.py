"""The fields of the page Erase, and what their values ask for."""

from __future__ import annotations

from typing import Any

import gradio as gr

from lora_unlearn.training.methods import METHODS

from .orders import Order, order_of
from .words import INFO, LOOKS, OF_PRESET, OWN

FIELDS = (
    "concept", "also", "replace_with", "keep", "preset", "of", "iterations", "rank", "batch", "learning_rate", "seed",
    "pictures", "previews", "own", "false_open_rate", "look", "near", "neighbours", "meant", "method", "options",
)  # fmt: skip
"""What an order is made of, in the order in which events get the values."""
Values = tuple[Any, ...]


def ordered(values: Values, **instead: str) -> Order:
    """The order that the page's values stand for; `instead` fills fields that are empty.

    Raises:
        UnlearnError: naming the field that is wrong.
    """
    fields = dict(zip(FIELDS, values, strict=True))
    fields |= {name: text for name, text in instead.items() if not fields.get(name)}
    if fields["meant"] and fields["meant"] == " ".join(str(fields["concept"] or "").split()):
        for name, ticked in (("also", "near"), ("keep", "neighbours")):
            fields[name] = ", ".join([*filter(None, [fields[name]]), *map(str, fields[ticked] or [])])
    return order_of(fields)


def text(name: str, label: str, **further: Any) -> gr.Textbox:
    """A line of words."""
    return gr.Textbox(label=label, info=INFO[name], max_lines=1, elem_id=f"lora_unlearn_{name}", **further)


def number(name: str, label: str) -> gr.Textbox:
    """A number that may be left empty: gradio's own number fields cannot, in some versions."""
    return text(name, label, placeholder="preset's own")


def numbers() -> dict[str, Any]:
    """What most people leave alone of a training."""
    return {
        "iterations": number("iterations", "Updates"),
        "rank": number("rank", "Rank"),
        "batch": number("batch", "Batch"),
        "learning_rate": number("learning_rate", "Learning rate"),
        "seed": number("seed", "Seed"),
        "pictures": gr.Slider(
            0, 4, value=2, step=1, label="Pictures on the sheet", info=INFO["pictures"],
            elem_id="lora_unlearn_pictures",
        ),
        "previews": gr.Checkbox(True, label="Previews", info=INFO["previews"], elem_id="lora_unlearn_previews"),
    }  # fmt: skip


def methods() -> dict[str, Any]:
    """What related works propose instead of a preset."""
    names = [("the preset's own", ""), *((f"{name}: {method.about}", name) for name, method in METHODS.items())]
    return {
        "method": gr.Dropdown(names, value="", label="Method", info=INFO["method"], elem_id="lora_unlearn_method"),
        "options": gr.Textbox(
            label="Method options", info=INFO["options"], lines=2, max_lines=6, elem_id="lora_unlearn_options",
            placeholder="average=ema",
        ),
    }  # fmt: skip


def promises() -> dict[str, Any]:
    """What the gate is to promise."""
    return {
        "own": gr.Textbox(
            label=OWN, info=INFO["own"], lines=3, max_lines=8, elem_id="lora_unlearn_own",
            placeholder="portrait of a woman, soft light",
        ),
        "false_open_rate": text("false_open_rate", "How often may it open by mistake", placeholder="preset's own"),
        "look": gr.Radio(
            LOOKS, value=OF_PRESET, label="Who decides whether a prompt asks for it", info=INFO["look"],
            elem_id="lora_unlearn_look",
        ),
    }  # fmt: skip
