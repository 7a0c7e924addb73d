"""Open or closed, prompt by prompt, as far as that can be told before a picture is begun."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from .adapter import Adapter
from .denoiser import Conditioning
from .errors import UnlearnError
from .gate import text_score_of_each

Looking = Callable[[Adapter, Conditioning], Tensor]
"""The second look at some prompts: their scores, (B,); see `lora_unlearn.look`."""


@dataclass
class Decision:
    """What the gate decided for one picture and one eraser.

    Attributes:
        open: None while undecided.
        score, threshold: of the statistic that decided.
        by: "text", "look", "probe", "mode" or "" while undecided.
    """

    open: bool | None = None
    score: float | None = None
    threshold: float | None = None
    by: str = ""


def decide(adapter: Adapter, asked: Conditioning, look: Looking | None = None) -> list[Decision]:
    """What the gate makes of prompts, one row each: from their text, then by a second look at those left closed.

    Decisions stay open to a probe (`Decision()`) where only a step of the picture's own run can tell.

    Raises:
        UnlearnError: if the gate takes a second look and there is no network to ask.
    """
    return decide_each([adapter], asked, look)[0]


def decide_each(adapters: Sequence[Adapter], asked: Conditioning, look: Looking | None = None) -> list[list[Decision]]:
    """As `decide`, for several adapters: their gates read the text together. A list of decisions for each.

    Raises:
        UnlearnError: as `decide`.
    """
    if not adapters:
        return []
    scores = text_score_of_each(asked, [adapter.gate for adapter in adapters]).tolist()
    return [_decided(adapter, own, asked, look) for adapter, own in zip(adapters, scores, strict=True)]


def _decided(adapter: Adapter, scores: list[float], asked: Conditioning, look: Looking | None) -> list[Decision]:
    """What one gate makes of prompts with these text scores."""
    gate = adapter.gate
    if gate.statistic == "look":
        found = [Decision() for _ in scores]
    else:
        found = [_by_text(score, gate.text_closed, gate.text_open) for score in scores]
    if gate.look is None:
        return found
    if look is None:
        raise UnlearnError(
            f"The gate of the eraser for {adapter.concept.name!r} asks the network, which can't be done here; draw a "
            "picture, or calibrate the eraser again to decide from the text alone."
        )
    rows = [row for row, decision in enumerate(found) if not decision.open]
    for row, score in zip(rows, look(adapter, asked[rows]).tolist() if rows else [], strict=True):
        found[row] = Decision(score >= gate.look, score, gate.look, "look")
    return found


def _by_text(score: float, closed: float, opened: float) -> Decision:
    if score < closed:
        return Decision(False, score, closed, "text")
    return Decision(True, score, opened, "text") if score >= opened else Decision()
