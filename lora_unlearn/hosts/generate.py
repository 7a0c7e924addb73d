"""Pictures from a diffusers pipeline, one seed each, with or without erasers, and what they cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from PIL import Image

from ..errors import UnlearnError
from ..guidance import Decision, Eraser
from .diffusers import denoiser_for
from .sampling import erasing

SAMPLERS = {
    "ddim": "DDIMScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler_a": "EulerAncestralDiscreteScheduler",
    "dpmpp_2m": "DPMSolverMultistepScheduler",
    "pndm": "PNDMScheduler",
    "flow_euler": "FlowMatchEulerDiscreteScheduler",
}


PRK_STEPS = 4
"""PNDM's first steps are of another kind, four of them."""


@dataclass
class Picture:
    """A picture with what is worth knowing of it.

    Attributes:
        decisions: of the gates, one for each eraser; empty without erasers.
        evaluations: network evaluations (rows) spent; None when nothing counted them.
        seconds: its share of the batch's time, decoding included.
        extra: how many of the evaluations gates and erasers added.
    """

    image: Image.Image
    prompt: str
    seed: int
    decisions: list[Decision]
    evaluations: float | None
    seconds: float
    extra: float = 0.0


@dataclass(frozen=True)
class Sampling:
    """How pictures are sampled: steps (at least 1), guidance scale (1: none), size (height, width) in pixels."""

    steps: int = 30
    guidance_scale: float = 7.5
    negative_prompt: str = ""
    size: tuple[int, int] | None = None
    sampler: str | None = None
    batch: int = 8

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UnlearnError(f"Sampling needs at least 1 step, got {self.steps}.")
        if not 0 <= self.guidance_scale < float("inf"):
            raise UnlearnError(f"The guidance scale must be a number from 0 up, got {self.guidance_scale}.")
        if self.sampler is not None and self.sampler not in SAMPLERS:
            raise UnlearnError(f"Unknown sampler {self.sampler!r}; choose one of {', '.join(SAMPLERS)}.")


def generate(
    pipe: Any,
    prompts: Sequence[str],
    seeds: Sequence[int],
    sampling: Sampling = Sampling(),
    erasers: Sequence[Eraser] = (),
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[Picture]:
    """Make one picture for each (prompt, seed) pair.

    Every picture draws its noise from a generator of its own, so it does not depend on its neighbours; with
    the same batch size, a picture whose gates stay closed is bit-identical to the one made without erasers.

    Args:
        pipe: a diffusers pipeline that `denoiser_for` knows.
        prompts, seeds: of equal length. Words in brackets are weighted, see `lora_unlearn.hosts.prompts`; prompts
            may have any length.
        sampling: steps, guidance scale and so on.
        erasers: adapters at work.
        report: called with (pictures done, pictures in all).

    Raises:
        UnlearnError: if the sampler does not fit the model or the number of steps, or as `erasing` does.
    """
    pictures: list[Picture] = []
    with _prepared(pipe, sampling), erasing(pipe, erasers) as run:
        denoiser = denoiser_for(pipe)
        for chunk in _batches(denoiser, prompts, sampling.batch):
            started = time.perf_counter()
            run.guidance = None
            images = _call(denoiser, prompts[chunk], seeds[chunk], sampling)
            seconds = (time.perf_counter() - started) / len(images)
            for i, (image, prompt, seed) in enumerate(zip(images, prompts[chunk], seeds[chunk], strict=True)):
                decisions: list[Decision] = run.guidance.decisions(i) if run.guidance else []
                spent = run.guidance.evaluations[i] if run.guidance else None
                extra = run.guidance.extra[i] if run.guidance else 0
                pictures.append(Picture(image, prompt, seed, decisions, spent, seconds, extra))
            report(len(pictures), len(prompts))
    return pictures


@contextmanager
def _prepared(pipe: Any, sampling: Sampling) -> Iterator[None]:
    """Within this block the pipeline has the sampler that is asked for and shows no progress; afterwards its own."""
    scheduler, progress = pipe.scheduler, getattr(pipe, "_progress_bar_config", None)
    try:
        use_sampler(pipe, sampling.sampler)
        starts = type(pipe.scheduler).__name__ == SAMPLERS["pndm"] and not pipe.scheduler.config.skip_prk_steps
        if starts and sampling.steps < PRK_STEPS:
            raise UnlearnError(
                f"The sampler pndm needs at least {PRK_STEPS} steps with this model, got {sampling.steps}; ask for "
                "more, or take another sampler."
            )
        pipe.set_progress_bar_config(disable=True)
        yield
    finally:
        pipe.scheduler = scheduler
        if progress is None:
            pipe.__dict__.pop("_progress_bar_config", None)
        else:
            pipe.set_progress_bar_config(**progress)


def _batches(denoiser: Any, prompts: Sequence[str], size: int) -> Iterator[slice]:
    """Neighbours of one length go together: a longer one would change what the others are padded with."""
    start = 0
    for _, group in groupby(prompts, key=lambda prompt: denoiser.extent([prompt])):
        end = start + len(list(group))
        yield from (slice(first, min(first + size, end)) for first in range(start, end, size))
        start = end


def _call(denoiser: Any, prompts: Sequence[str], seeds: Sequence[int], sampling: Sampling) -> list[Image.Image]:
    kwargs: dict[str, Any] = {"num_inference_steps": sampling.steps}
    kwargs |= denoiser.arguments(prompts, [sampling.negative_prompt] * len(prompts), sampling.guidance_scale)
    if sampling.size:
        kwargs["height"], kwargs["width"] = sampling.size
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return denoiser.pipe(generator=generators, **kwargs).images


def use_sampler(pipe: Any, sampler: str | None) -> None:
    """Give the pipeline another scheduler of the same noise schedule.

    Raises:
        UnlearnError: for a sampler of flow matching with a diffusion model, or the reverse.
    """
    if sampler is not None:
        import diffusers

        flow = "FlowMatch" in type(pipe.scheduler).__name__
        if flow != sampler.startswith("flow"):
            fitting = [name for name in SAMPLERS if name.startswith("flow") == flow]
            raise UnlearnError(f"The sampler {sampler} does not fit this model; choose {' or '.join(fitting)}.")
        pipe.scheduler = getattr(diffusers, SAMPLERS[sampler]).from_config(pipe.scheduler.config)
