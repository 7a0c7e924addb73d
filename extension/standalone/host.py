"""The host that needs no other program: a diffusers pipeline and two folders."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from lora_unlearn import Eraser, Picture, Sampling, denoiser_for, generate


class LentPipeline:
    """A pipeline while a job has it."""

    def __init__(self, pipe: Any) -> None:
        self.pipe, self.denoiser = pipe, denoiser_for(pipe)

    def draw(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        sampling: Sampling,
        erasers: Sequence[Eraser] = (),
        report: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[Picture]:
        """As `lora_unlearn.generate`."""
        with torch.no_grad():
            return generate(self.pipe, prompts, seeds, sampling, erasers, report)

    @contextmanager
    def stepping(self, report: Callable[[int], None]) -> Iterator[None]:
        """Within this block `report` hears of each step of a picture; what it raises ends the picture."""
        self.pipe.progress_bar = Steps(report)
        try:
            yield
        finally:
            del self.pipe.progress_bar


class Steps:
    """Stands where a pipeline has its bar of progress, and passes on how many steps are done."""

    def __init__(self, report: Callable[[int], None]) -> None:
        self.report, self.done = report, 0

    def __call__(self, *args: Any, **kwargs: Any) -> Steps:
        """A new run begins."""
        self.done = 0
        return self

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def update(self, count: int = 1) -> None:
        """Some steps are done."""
        self.done += count
        self.report(self.done)


class PipelineHost:
    """A loaded pipeline and where its erasers are kept.

    Args:
        pipe: a pipeline that `denoiser_for` knows.
        checkpoint: its name.
        folder: holds the folders `erasers` and `loras`.
    """

    name = "lora-unlearn"

    def __init__(self, pipe: Any, checkpoint: str, folder: Path) -> None:
        self.pipe, self._checkpoint = pipe, checkpoint
        self.erasers, self.exports = folder / "erasers", folder / "loras"
        self._lock = threading.Lock()

    def checkpoint(self) -> str:
        """The name of the loaded checkpoint."""
        return self._checkpoint

    @contextmanager
    def lend(self, job: str, reading: bool = False) -> Iterator[LentPipeline]:
        """Lend the pipeline to one job at a time."""
        with self._lock:
            lent = LentPipeline(self.pipe)
            scheduler = self.pipe.scheduler
            try:
                yield lent
            finally:
                self.pipe.scheduler = scheduler

    def interrupted(self) -> bool:
        """There is no button but the tab's own."""
        return False

    def progress(self, done: int, total: int, text: str) -> None:
        """There is no display but the tab's own."""

    def changed(self, path: Path) -> None:
        """Nothing is kept in memory."""
