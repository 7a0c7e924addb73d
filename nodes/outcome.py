"""What a node says of an eraser when it has just made it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..lora_unlearn import Adapter
from ..lora_unlearn.describe import gate_promise
from .suggest_words import also_read


def outcome(model: Any, clip: Any, adapter: Adapter, own: Sequence[str]) -> str:
    """What the gate promises, which of the user's own prompts were not counted, and further words to think of."""
    return "\n".join([*gate_promise(adapter), *set_aside(adapter, own), *also_read(model, clip, adapter.concept)])


def set_aside(adapter: Adapter, own: Sequence[str]) -> list[str]:
    """A line on those of the user's own prompts that the calibration took for the concept itself, if there are any."""
    aside = [prompt for prompt in own if prompt in adapter.gate.mentions]
    said = f"your own prompts that are too like {adapter.concept.name} to keep closed: {', '.join(aside)}"
    return [said] if aside else []
