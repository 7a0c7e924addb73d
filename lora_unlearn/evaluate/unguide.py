"""The evaluation: the same prompts and seeds without the eraser, with it, and under the file as a plain LoRA."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import torch

from ..adapter import Adapter
from ..denoiser import base_hash
from ..errors import UnlearnError
from ..guidance import Decision, Eraser, Mode
from ..hosts.diffusers import denoiser_for
from ..hosts.generate import Picture, Sampling, generate
from .judge import Judge
from .prompts import MANY, Prompt, Protocol
from .record import Evaluation, Shot, View, view
from .summary import summarise

DEFAULT = Sampling()
SHOWN = 6
"""Pictures of a prompt that are kept for the report; of the others only the figures stay."""
Job = tuple[Prompt, int]
"""A prompt and a seed."""


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
        strength, mode: of the eraser.
        first_seed: of every prompt's pictures; the others follow it.
        training_seconds: of the eraser's training, for the report.

    Raises:
        UnlearnError: for an adapter of another family, or fewer than one picture a prompt.
    """
    if seeds_per_prompt < 1:
        raise UnlearnError(f"An evaluation needs at least 1 picture of each prompt, got {seeds_per_prompt}.")
    started = time.perf_counter()
    eraser = Eraser(adapter, strength, mode)
    seeds, shots = range(first_seed, first_seed + seeds_per_prompt), []
    jobs = plan(protocol, seeds)
    for batch in batches(jobs, sampling.batch):
        shots += shoot(pipe, eraser, judge, sampling, batch, seeds[:SHOWN])
        report(len(shots), len(jobs))
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
    )
    evaluation.figures = summarise(evaluation)
    return evaluation


def plan(protocol: Protocol, seeds: Sequence[int]) -> list[Job]:
    """All prompts with their seeds: all of them, or one for the kinds with many sentences."""
    return [(prompt, seed) for prompt in protocol.prompts for seed in (seeds[:1] if prompt.kind in MANY else seeds)]


def batches(jobs: Sequence[Job], size: int) -> Iterator[list[Job]]:
    """Batches of one kind each, so that the times of open and closed gates do not mix."""
    for _, group in groupby(jobs, key=lambda job: job[0].kind):
        same = list(group)
        for start in range(0, len(same), size):
            yield same[start : start + size]


@contextmanager
def plain_lora(pipe: Any, adapter: Adapter) -> Iterator[None]:
    """Within this block the pipeline draws as with the exported file in any LoRA loader at weight 1.

    Unlike a gate that is always open it changes the negative prompt's rows as well.
    """
    targets = denoiser_for(pipe).linears(adapter.settings.selector)
    with adapter.lora.attached(targets), adapter.lora.rows(torch.ones(1)):
        yield


def shoot(
    pipe: Any, eraser: Eraser, judge: Judge, sampling: Sampling, batch: list[Job], shown: Sequence[int]
) -> list[Shot]:
    """One batch, drawn two or three times from the same seeds; pictures of the shown seeds are kept."""
    asked = [prompt.text for prompt, _ in batch], [seed for _, seed in batch], sampling
    base = generate(pipe, *asked)
    plain = len(pipe.scheduler.timesteps) * (1.0 + bool(getattr(pipe, "do_classifier_free_guidance", False)))
    sets = [base, generate(pipe, *asked, [eraser])]
    if batch[0][0].kind not in MANY:
        with plain_lora(pipe, eraser.adapter):
            sets.append(generate(pipe, *asked))
    views = _views(judge, sets, [seed in shown for _, seed in batch])
    return [_shot(job, base[i], sets[1][i], [column[i] for column in views], plain) for i, job in enumerate(batch)]


def _views(judge: Judge, sets: list[list[Picture]], keep: list[bool]) -> list[list[View]]:
    """The judge's view of every picture, set by set; the first set is the one without the eraser."""
    verdicts = [judge.verdict([picture.image for picture in pictures]) for pictures in sets]
    return [
        [view(picture.image, seen, i, sets[0][i].image, verdicts[0], keep[i]) for i, picture in enumerate(pictures)]
        for pictures, seen in zip(sets, verdicts, strict=True)
    ]


def _shot(job: Job, base: Picture, gated: Picture, views: list[View], plain: float) -> Shot:
    decision = gated.decisions[0] if gated.decisions else Decision(False, by="mode")
    spent = plain if gated.evaluations is None else gated.evaluations
    exported = views[2] if len(views) > 2 else None
    return Shot(*job, views[0], views[1], exported, decision, spent, plain, gated.seconds, base.seconds)
