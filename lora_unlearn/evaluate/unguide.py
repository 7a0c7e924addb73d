"""The evaluation: the same prompts and seeds without the eraser, with it, and under the file as a plain LoRA."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from ..adapter import Adapter
from ..denoiser import base_hash
from ..errors import UnlearnError
from ..guidance import Eraser, Mode
from ..hosts.diffusers import denoiser_for
from ..hosts.generate import Picture, Sampling
from .drawing import NOTHING, SHOWN, Album, Job, Saving, Studio, batches, plan
from .judge import Judge
from .prompts import Protocol
from .record import Evaluation, Shot
from .summary import summarise

DEFAULT = Sampling()


def evaluate(
    pipe: Any,
    adapter: Adapter,
    protocol: Protocol,
    judge: Judge,
    sampling: Sampling = DEFAULT,
    seeds_per_prompt: int = 4,
    report: Callable[[int, int], None] = lambda done, total: None,
    strength: float = 1.0,
    mode: Mode = "auto",
    first_seed: int = 0,
    training_seconds: float | None = None,
    saving: Saving = NOTHING,
    album: Album | None = None,
    seeds: Sequence[int] = (),
    count: Callable[[Evaluation], dict[str, Any]] = summarise,
    partial: bool = False,
    each: Callable[[Job, Picture], None] = lambda job, picture: None,
) -> Evaluation:
    """Draw every prompt with and without the eraser, judge the pictures and sum up.

    Args:
        pipe: a diffusers pipeline that `denoiser_for` knows.
        adapter: the eraser.
        protocol: what to ask, see `unguide_protocol`.
        judge: names what is on a picture.
        sampling: of all pictures.
        seeds_per_prompt: pictures of each prompt; the published tables need 50 and more.
        report: called with (pictures done, pictures in all), with and without the eraser counted as one.
        first_seed: of every prompt's pictures; the others follow it.
        strength, mode, training_seconds: of the eraser.
        saving: what to leave out of a long evaluation.
        album: pictures without an eraser that earlier evaluations of the same model and sampling drew.
        seeds: of every prompt's pictures; default: as many as `seeds_per_prompt` from `first_seed` on.
        count: from the pictures to the figures.
        partial: whether an interrupt ends the drawing and what there is gets counted.
        each: called with every picture under the eraser as it is drawn, the model's own where that is the same.

    Raises:
        UnlearnError: for an adapter of another family, or fewer than one picture a prompt.
        KeyboardInterrupt: before the first picture, or if `partial` is not set.
    """
    if seeds_per_prompt < 1:
        raise UnlearnError(f"An evaluation needs at least 1 picture of each prompt, got {seeds_per_prompt}.")
    started = time.perf_counter()
    eraser = Eraser(adapter, strength, mode)
    seeds, shots = seeds or range(first_seed, first_seed + seeds_per_prompt), list[Shot]()
    studio = Studio(pipe, eraser, judge, sampling, seeds[:SHOWN], Album() if album is None else album, each)
    jobs = plan(pipe, eraser, protocol, seeds, saving)
    try:
        for batch in batches(jobs, sampling.batch):
            shots += studio.shoot(batch)
            report(len(shots), len(jobs))
    except KeyboardInterrupt:
        if not partial or not shots:
            raise
    order = {prompt.text: place for place, prompt in enumerate(protocol.prompts)}
    shots.sort(key=lambda shot: (order[shot.prompt.text], shot.seed))
    evaluation = Evaluation(
        eraser,
        protocol,
        sampling,
        judge.name,
        judge.labels,
        seeds,
        base_hash(denoiser_for(pipe)),
        shots,
        time.perf_counter() - started,
        training_seconds,
        saving,
        styles=judge.styles,
        unfinished=len(shots) < len(jobs),
    )
    evaluation.figures = count(evaluation)
    return evaluation
