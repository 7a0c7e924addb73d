"""What a host must offer to the tab. All calls come from the tab's worker thread or from gradio's threads.

The tab lends the loaded checkpoint for the length of one job (a training, a calibration, pictures for a sheet) and
gives it back; between two jobs it holds nothing of the model. What the user can mend is raised as `UnlearnError` with
one sentence, which the page shows as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from lora_unlearn import Eraser, Picture, Sampling
from lora_unlearn.denoiser import Denoiser


class Lent(Protocol):
    """A loaded checkpoint, on its device and ready to be trained on, while a job has it."""

    @property
    def denoiser(self) -> Denoiser:
        """The core's view of it; every parameter frozen, and evaluations of it may be differentiated."""
        ...

    def draw(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        sampling: Sampling,
        erasers: Sequence[Eraser] = (),
        report: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[Picture]:
        """Draw one picture for each (prompt, seed) pair, without gradients, in the thread that holds the loan.

        Called between two updates of a training, too: the adapter in training is then attached, but silent. The erasers
        given here are others, or copies of it.

        Args:
            prompts, seeds: of equal length.
            sampling: steps, guidance scale, negative prompt and size (None: the model's own). A host may draw with a
                sampler of its own where `sampling.sampler` is None, as long as equal seeds give equal pictures.
            erasers: at work while these pictures are made; none by default.
            report: called with (pictures done, pictures in all); it may raise to end the drawing.

        Raises:
            UnlearnError: if an eraser belongs to another model family.
        """
        ...


class Host(Protocol):
    """The program that the tab lives in.

    Attributes:
        name: as people call it, for sentences on the page, such as "Forge".
        erasers: folder of the tab's own erasers; it is made when the first one is saved.
        exports: folder where the host looks for LoRA files.
    """

    name: str
    erasers: Path
    exports: Path

    def checkpoint(self) -> str:
        """The name of the checkpoint that a job would get, "" while none is chosen; loads nothing."""
        ...

    def lend(self, job: str, reading: bool = False) -> AbstractContextManager[Lent]:
        """Lend the checkpoint under the host's lock, loading it first where need be.

        Entering waits until nothing else uses the model. Leaving it, however the block ends, gives back a model that
        draws every picture as before, byte for byte, and ends the host's own progress display.

        Args:
            job: what the host may show of it, such as "Erase cat".
            reading: whether words are read and nothing more, so that a checkpoint which can't be trained on will do.

        Raises:
            UnlearnError: if no checkpoint is loaded, or it is of no supported kind.
        """
        ...

    def interrupted(self) -> bool:
        """Whether the host's own interrupt button was pressed since the loan began; asked between steps."""
        ...

    def progress(self, done: int, total: int, text: str) -> None:
        """Move the host's own progress display, where it has one; called after every step of a job."""
        ...

    def changed(self, path: Path) -> None:
        """A file in `erasers` or `exports` was written, replaced, renamed or removed.

        The host refreshes its lists and forgets what it keeps in memory under that name, so that the next picture uses
        the new file.
        """
        ...
