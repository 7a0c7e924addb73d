"""Where a training's states come from: sources, and wrappers that change what a source hands out.

A source is a frozen dataclass; `begin` does what has to be done before the first update, and hands out a `Drawing` that
draws states for every update. What is buffered belongs to the drawing. A wrapper takes another source's drawing.
"""

from __future__ import annotations

from typing import Protocol

from ...settings import Settings
from ..progress import Report, Stop
from ..scene import Scene
from .adversarial import Adversarial
from .debiased import Debiased
from .drawing import Drawing
from .hardest import Hardest
from .min_snr import MinSnr
from .noised import Noised
from .own import Own
from .recorded import Recorded


class Source(Protocol):
    """Where states come from."""

    def begin(self, scene: Scene, report: Report, stop: Stop) -> Drawing:
        """Whatever comes before the first update.

        Raises:
            UnlearnError: if the model does not draw the concept.
        """
        ...

    def evaluations(self, settings: Settings) -> tuple[int, int, int]:
        """What it costs at most: evaluations before the first update, and of each state of an update without gradients
        and with.
        """
        ...


class Wrapper(Protocol):
    """What changes a source's states."""

    def wrap(self, scene: Scene, drawing: Drawing) -> Drawing:
        """The changed drawing of one training."""
        ...

    def evaluations(self, settings: Settings) -> tuple[int, int, int]:
        """What it adds to the source's."""
        ...


SOURCES: dict[str, type[Source]] = {"recorded": Recorded, "noised": Noised, "own": Own}
"""Sources by name."""
WRAPPERS: dict[str, type[Wrapper]] = {
    "adversarial": Adversarial, "hardest": Hardest, "min_snr": MinSnr, "debiased": Debiased,
}  # fmt: skip
"""Wrappers by name."""
