"""Looking at an eraser while it is being trained: at which updates, and at a copy that the training leaves alone."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from dataclasses import replace

from .adapter import Adapter

THIRDS = 3
"""A training is looked at after each third."""


def moments(updates: int) -> set[int]:
    """After which updates to look; none where nothing is trained."""
    return {round(updates * part / THIRDS) for part in range(1, THIRDS + 1)} if updates else set()


class Sketcher:
    """Draws the unfinished eraser when its moments come; a `save` for `lora_unlearn.erase.erase`.

    Args:
        draw: shows a copy of the adapter as it stands.
        at: the updates after which it does, each once.
    """

    def __init__(self, draw: Callable[[Adapter], None], at: Collection[int]) -> None:
        self.draw, self.at = draw, set(at)

    def __call__(self, adapter: Adapter) -> None:
        """Draw, if it is time."""
        if adapter.iterations in self.at:
            self.at.remove(adapter.iterations)
            self.draw(replace(adapter, lora=copy.deepcopy(adapter.lora)))
