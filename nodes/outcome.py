"""What a node says of an eraser when it has just made it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..lora_unlearn import Adapter
from ..lora_unlearn.describe import gate_promise
from .suggest_words import also_read


def outcome(model: Any, clip: Any, adapter: Adapter, own: Sequence[str]) -> str:
    """Further words to think of, which of the user's own prompts were not counted, and what the gate promises."""
    return "\n".join([*also_read(model, clip, adapter.concept), *set_aside(adapter, own), *gate_promise(adapter)])


def set_aside(adapter: Adapter, own: Sequence[str]) -> list[str]:
    """A line on those of the user's own prompts that the calibration took for the concept itself, if there are any."""
    aside = [prompt for prompt in own if prompt in adapter.gate.mentions]
    said = f"your own prompts that are too like {adapter.concept.name} to keep closed: {', '.join(aside)}"
    return [said] if aside else []
