"""What a node says of an eraser when it has just made it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..lora_unlearn import Adapter
from ..lora_unlearn.concept import notices
from ..lora_unlearn.describe import gate_promise
from .schema import TOGETHER
from .suggest_words import also_read


def outcome(
    model: Any, clip: Any, adapter: Adapter, own: Sequence[str], report: Callable[[int, int], None]
) -> list[str]:
    """What was made of the user's words, then what the gate promises, and further words to think of.

    The page shows two lines and a half, so what the user may want to mend comes first.
    """
    also = also_read(model, clip, adapter.concept, report)
    return [*notices(adapter.concept, TOGETHER), *set_aside(adapter, own), *gate_promise(adapter), *also]


def kept(adapter: Adapter, how: str = "", sheet: bool = False) -> list[str]:
    """What a node says of an eraser that was there before."""
    work = f", at work with {how}" if how else ""
    work += "; a sheet below is still of the strength that stands on it" if sheet else ""
    said = f"Eraser for {adapter.concept.name}: kept from before, not trained again{work}"
    return [*notices(adapter.concept, TOGETHER), said, *gate_promise(adapter)]


def set_aside(adapter: Adapter, own: Sequence[str]) -> list[str]:
    """A line on those of the user's own prompts that the calibration took for the concept itself, if there are any."""
    aside = [prompt for prompt in own if prompt in adapter.gate.mentions]
    said = f"your own prompts that are too like {adapter.concept.name} to keep closed: {', '.join(aside)}"
    return [said] if aside else []
