"""A source at work: what the training loop draws its states from."""

from __future__ import annotations

from typing import Protocol

from ...lora import Lora
from ..states import States


class Drawing(Protocol):
    """A source at work.

    Attributes:
        held: states that tell how far the training is; None if there are none.
    """

    held: States | None

    def draw(self, lora: Lora, count: int) -> States:
        """States for one update, with what the adapter is asked in each."""
        ...
