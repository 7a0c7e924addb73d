"""An unfinished training on disk: what a kill may cost is a few seconds."""

from __future__ import annotations

import time
from pathlib import Path

from .adapter import Adapter

SAVE_SECONDS = 20.0
"""How often an unfinished training is saved."""
UNFINISHED = ".unfinished"


def unfinished_beside(out: Path) -> Path:
    """Where the training of an eraser is kept while a finished file of its name may be there."""
    return out.with_name(f"{out.stem}{UNFINISHED}{out.suffix}")


class Keeper:
    """Writes an unfinished adapter to its file now and then; a `save` for `lora_unlearn.erase.erase`.

    Attributes:
        out: the file; what is there is replaced, so it must not hold a finished eraser.
        latest: the adapter as it stands; None before the first update.
    """

    def __init__(self, out: Path) -> None:
        self.out, self.saved = out, time.monotonic()
        self.latest: Adapter | None = None

    def __call__(self, adapter: Adapter) -> None:
        """Take note of the adapter after an update, and save it when it is time.

        Raises:
            UnlearnError: if the file cannot be written.
        """
        first, self.latest = self.latest is None, adapter
        if first or time.monotonic() - self.saved > SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Write what there is, if there is anything.

        Raises:
            UnlearnError: if the file cannot be written.
        """
        if self.latest is not None:
            self.latest.save(self.out)
            self.saved = time.monotonic()
