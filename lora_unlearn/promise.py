"""What a gate is asked to promise, before an eraser is made."""

from __future__ import annotations

from dataclasses import dataclass

from .bounds import FALSE_OPEN_RATE
from .look import LookMode, share_of_text


@dataclass(frozen=True)
class Promise:
    """What an eraser's gate is to promise.

    Attributes:
        own: prompts that the user usually draws, which must stay as they are.
        false_open_rate: how often it may open by mistake.
        look: who decides: the "text" alone; "careful": the network looks again at what the text leaves closed, two
            evaluations for a new prompt; "always": the network alone. See `lora_unlearn.look`.
    """

    own: tuple[str, ...] = ()
    false_open_rate: float = FALSE_OPEN_RATE
    look: LookMode = "text"

    @property
    def share(self) -> float:
        """The part of the bound that each stage gets."""
        return share_of_text(self.look, self.false_open_rate)


USUAL = Promise()
"""One ordinary prompt in a hundred at most, by the text alone: see `docs/language.md` for why."""
