"""What a running node shows of its work: one bar over all its stages, which never goes back, and a line for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import comfy.model_management
import comfy.utils
from PIL import Image

from ..lora_unlearn.course import Course
from .messages import show

READING, RECORDING, TRAINING, SKETCHING = "reading prompts", "recording", "training", "sketching"
CALIBRATING, LOOKING, SUGGESTING = "calibrating the gate", "having the network look", "looking for further words"
COMPARING, DRAWING = "looking for neighbours", "drawing before and after"
WHOLE = 1000
"""Steps of the bar."""
SKETCH_SIDE = 256
"""How large a picture is shown while a node runs, in pixels."""


class Stages:
    """The work of one node; as a context it says at the end of a cancelled run where that stopped.

    Args:
        subject: what the work is about, the beginning of every line.
        stages: each stage's share of the work, by name.

    Attributes:
        then: what comes of a cancelled run.
    """

    def __init__(self, subject: str, stages: Mapping[str, float]) -> None:
        self.subject, self.course = subject, Course(stages)
        self.bar = comfy.utils.ProgressBar(WHOLE)
        self.then, self.where = "Run begins anew", ""

    def at(self, stage: str, step: float, steps: int, more: str = "", picture: Image.Image | None = None) -> None:
        """Note how far a stage is, and show it.

        Raises:
            InterruptProcessingException: if the user has cancelled.
        """
        step = min(step, steps)
        share, self.where = self.course.at(stage, step, steps), f"{int(step)} of {steps} ({stage})"
        show(f"{self.subject}: {stage} {int(step)} of {steps}{more}")
        self.bar.update_absolute(round(WHOLE * share), preview=picture and ("JPEG", picture, SKETCH_SIDE))
        comfy.model_management.throw_exception_if_processing_interrupted()

    @contextmanager
    def within(self, stage: str, step: int, steps: int) -> Iterator[None]:
        """Within this block the bars of the host's own nodes move this one, through one step of a stage."""
        before = comfy.utils.PROGRESS_BAR_HOOK
        comfy.utils.set_progress_bar_global_hook(
            lambda value, total, *_preview, **_node: self.at(stage, step + min(0.99, value / max(1, total)), steps)
        )
        try:
            self.at(stage, step, steps)
            yield
        finally:
            comfy.utils.set_progress_bar_global_hook(before)
        self.at(stage, step + 1, steps)

    def passes(self, *stages: str) -> Callable[[int, int], None]:
        """Takes (done, total) of stages that follow one another; the next one begins where the numbers begin anew."""
        left, before = list(stages), (0, 0)

        def report(done: int, total: int) -> None:
            nonlocal before
            anew = before[1] and (done < before[0] or total != before[1])
            if anew and len(left) > 1:
                self.course.close(left.pop(0))
            before = done, total
            self.at(left[0], done, total)

        return report

    def __enter__(self) -> Stages:
        return self

    def __exit__(self, _kind: Any, error: Any, _trace: Any) -> None:
        if isinstance(error, comfy.model_management.InterruptProcessingException):
            show(f"{self.subject}: stopped at {self.where or 'its beginning'}; {self.then}")
