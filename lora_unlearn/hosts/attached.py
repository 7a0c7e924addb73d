"""Erasers on a pipeline for good: other people's programs call it as usual, and get erased pictures behind the gate."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..adapter import Adapter
from ..errors import UnlearnError
from ..guidance import Decision, Eraser
from .diffusers import denoiser_for
from .sampling import Run, erasing


class Attached:
    """Erasers on a pipeline, until they are detached. They stay on, too, where nobody keeps this handle.

    Attributes:
        run: what happened in the pipeline's latest call.
    """

    def __init__(self, run: Run) -> None:
        self.run = run

    @property
    def decisions(self) -> list[list[Decision]]:
        """Of the latest call: for each picture what each eraser's gate decided; empty before the first call."""
        guidance = self.run.guidance
        return [] if guidance is None else [guidance.decisions(i) for i in range(len(guidance.evaluations))]

    def detach(self) -> None:
        """Give the pipeline back as it was before `attach`.

        Raises:
            UnlearnError: if that has been done already.
        """
        block, self.run.block = self.run.block, None
        if block is None:
            raise UnlearnError("These erasers are off the pipeline already; attach puts them on again.")
        block.close()


def attach(pipe: Any, *erasers: Eraser | str | Path) -> Attached:
    """Put erasers on a pipeline: from now on every call of it runs under them, as within a block of `erasing`.

    That holds for whoever calls it, with whatever it takes: several prompts, `num_images_per_prompt`, negative prompts,
    another scheduler, after `pipe.to`; and for other pipelines on the same network, such as one for img2img. A copy of
    the pipeline, and what `save_pretrained` writes, is the model without erasers.

    Args:
        pipe: a pipeline that `denoiser_for` knows.
        erasers: adapters with strength and gate mode; a file is one at strength 1 behind its gate.

    Raises:
        UnlearnError: if the pipeline is of another kind or has erasers on already, if none is given, a file can't be
            read, or an adapter belongs to another model family; then nothing was attached.
    """
    denoiser_for(pipe)
    if not erasers:
        raise UnlearnError("No eraser was given to attach; name a file of one, or give an Eraser.")
    opened = [eraser if isinstance(eraser, Eraser) else Eraser(Adapter.load(eraser)) for eraser in erasers]
    with ExitStack() as stack:
        run = stack.enter_context(erasing(pipe, opened))
        run.block = stack.pop_all()
    return Attached(run)
