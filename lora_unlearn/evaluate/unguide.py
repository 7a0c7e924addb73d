"""The evaluation: the same prompts and seeds without the eraser, with it, and under the file as a plain LoRA."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..adapter import Adapter
from ..denoiser import base_hash
from ..errors import UnlearnError
from ..guidance import Eraser, Mode
from ..hosts.diffusers import denoiser_for
from ..hosts.generate import Picture, Sampling
from .drawing import NOTHING, SHOWN, Album, Job, Saving, Studio, batches, plan
from .judge import Judge
from .kept import Kept
from .prompts import Protocol
from .record import Evaluation, Shot
from .summary import summarise

DEFAULT = Sampling()


@dataclass(frozen=True)
class Options:
    """How much is drawn, and what becomes of it.

    Attributes:
        seeds: of every prompt's pictures.
        sampling: of all pictures.
        saving: what to leave out of a long evaluation.
        count: from the pictures to the figures.
        partial: whether an interrupt ends the drawing and what there is gets counted.
        training_seconds: of the eraser, if known.
        kept: pictures of an earlier, unfinished run, which are not drawn again.
    """

    seeds: Sequence[int]
    sampling: Sampling = DEFAULT
    saving: Saving = NOTHING
    count: Callable[[Evaluation], dict[str, Any]] = summarise
    partial: bool = False
    training_seconds: float | None = None
    kept: Kept | None = None


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
    """As `measure`, with its options one by one; see `Options`.

    Args:
        adapter, strength, mode: the eraser.
        seeds_per_prompt: pictures of each prompt; the published tables need 50 and more.
        first_seed: of every prompt's pictures; the others follow it.
        seeds: of every prompt's pictures, instead of as many as `seeds_per_prompt` from `first_seed` on.

    Raises:
        UnlearnError: as `measure`.
        KeyboardInterrupt: as `measure`.
    """
    seeds = seeds or range(first_seed, first_seed + seeds_per_prompt)
    options = Options(seeds, sampling, saving, count, partial, training_seconds)
    return measure(pipe, Eraser(adapter, strength, mode), protocol, judge, options, album, report, each)


def measure(
    pipe: Any,
    eraser: Eraser,
    protocol: Protocol,
    judge: Judge,
    options: Options,
    album: Album | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
    each: Callable[[Job, Picture], None] = lambda job, picture: None,
) -> Evaluation:
    """Draw every prompt with and without the eraser, judge the pictures and sum up.

    Args:
        pipe: a diffusers pipeline that `denoiser_for` knows.
        protocol: what to ask, see `unguide_protocol`.
        judge: names what is on a picture.
        album: pictures without an eraser that earlier evaluations of the same model and sampling drew.
        report: called with (pictures done, pictures in all), with and without the eraser counted as one.
        each: called with every picture under the eraser as it is drawn, the model's own where that is the same.

    Raises:
        UnlearnError: for fewer than one picture a prompt, or an adapter of another family.
        KeyboardInterrupt: before the first picture, or if `options.partial` is not set.
    """
    started, seeds, shots = time.perf_counter(), options.seeds, list[Shot]()
    if not seeds:
        raise UnlearnError(f"An evaluation needs at least 1 picture of each prompt, got {len(seeds)}.")
    album = Album() if album is None else album
    studio = Studio(pipe, eraser, judge, options.sampling, seeds[:SHOWN], album, each, options.kept)
    jobs = plan(pipe, eraser, protocol, seeds, options.saving)
    try:
        for batch in batches(jobs, options.sampling.batch):
            shots += studio.shoot(batch)
            report(len(shots), len(jobs))
    except KeyboardInterrupt:
        if not options.partial or not shots:
            raise
    order = {prompt.text: place for place, prompt in enumerate(protocol.prompts)}
    shots.sort(key=lambda shot: (order[shot.prompt.text], shot.seed))
    evaluation = Evaluation(
        eraser, protocol, options.sampling, judge.name, judge.labels, seeds, base_hash(denoiser_for(pipe)), shots,
        time.perf_counter() - started + studio.spared, options.training_seconds, options.saving, styles=judge.styles,
        unfinished=len(shots) < len(jobs),
    )  # fmt: skip
    evaluation.figures = options.count(evaluation)
    return evaluation
