"""The pictures of an evaluation: which are drawn, in which batches, and what is remembered of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ..adapter import Adapter
from ..guidance import Decision, Eraser
from ..hosts.diffusers import denoiser_for
from ..hosts.generate import Picture, Sampling, generate
from ..look import decide_prompts
from .judge import Judge, Verdict
from .kept import Kept, eraser_digest
from .prompts import EXTRA, MANY, Prompt, Protocol
from .record import Shot, View, view

SHOWN = 6
"""Pictures of a prompt that are kept for the report; of the others only the figures stay."""


@dataclass(frozen=True)
class Saving:
    """What a long evaluation may leave out: at most so many pictures of each prompt, None for all.

    Attributes:
        closed: with the eraser, where the prompt's text alone keeps the gate closed. The pictures that are drawn are
            compared byte for byte; all others count as the model's own, which the guidance returns untouched. Any
            limit leaves out the kinds with many sentences.
        exported: with the file as a plain LoRA.
        extra: of kinds beyond the published protocol.
    """

    closed: int | None = None
    exported: int | None = None
    extra: int | None = None


NOTHING = Saving()


@dataclass(frozen=True)
class Job:
    """One picture: whether it is drawn with the eraser, and as a plain LoRA; `shut`: its text keeps the gate closed."""

    prompt: Prompt
    seed: int
    shut: bool
    gated: bool
    exported: bool


@dataclass
class Album:
    """Pictures without any eraser, remembered from one evaluation to the next (of one model and one sampling)."""

    pages: dict[tuple[str, int], tuple[Picture, Verdict]] = field(default_factory=dict)

    def find(self, jobs: Sequence[Job]) -> list[tuple[Picture, Verdict]] | None:
        """What is known of all jobs, or None if one of them is new."""
        found = [self.pages.get((job.prompt.text, job.seed)) for job in jobs]
        known = [page for page in found if page is not None]
        return known if len(known) == len(jobs) else None

    def keep(self, jobs: Sequence[Job], pages: Sequence[tuple[Picture, Verdict]]) -> None:
        """Remember pictures with the judge's verdicts on them."""
        self.pages |= {(job.prompt.text, job.seed): page for job, page in zip(jobs, pages, strict=True)}


def plan(pipe: Any, eraser: Eraser, protocol: Protocol, seeds: Sequence[int], saving: Saving = NOTHING) -> list[Job]:
    """All prompts with their seeds: all of them, or one for the kinds with many sentences."""
    known_shut = eraser.mode == "off" or eraser.strength == 0
    shut = [known_shut] * len(protocol.prompts)
    if eraser.mode == "auto":
        decided = decide_prompts(denoiser_for(pipe), eraser.adapter, [prompt.text for prompt in protocol.prompts])
        shut = [decision.open is False for decision in decided]
    jobs = []
    for prompt, closed in zip(protocol.prompts, shut, strict=True):
        many, extra = prompt.kind in MANY, prompt.kind in EXTRA
        for index, seed in enumerate(seeds[: 1 if many else saving.extra if extra else None]):
            gated = not closed or within(index, 0 if many and saving.closed is not None else saving.closed)
            jobs.append(Job(prompt, seed, closed, gated, not many and within(index, saving.exported)))
    return jobs


def pictures(jobs: Sequence[Job]) -> int:
    """How many pictures are drawn for these: each as it is, some with the eraser, some as a plain LoRA."""
    return sum(1 + job.gated + job.exported for job in jobs)


def within(index: int, limit: int | None) -> bool:
    """Whether the index-th picture of a prompt is among the first `limit`."""
    return limit is None or index < limit


def batches(jobs: Sequence[Job], size: int) -> Iterator[list[Job]]:
    """Batches of one kind and one treatment each, so that the times of open and closed gates do not mix."""
    groups: dict[tuple, list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.prompt.kind, job.shut, job.gated, job.exported), []).append(job)
    for same in groups.values():
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


def counted(pipe: Any, picture: Picture) -> Picture:
    """A picture with the network evaluations of an ordinary run, where nothing counted them."""
    plain = len(pipe.scheduler.timesteps) * (1.0 + bool(getattr(pipe, "do_classifier_free_guidance", 0)))
    return replace(picture, evaluations=plain) if picture.evaluations is None else picture


@dataclass
class Studio:
    """Draws batches and has them judged.

    Attributes:
        pipe, eraser, judge, sampling: as `evaluate` got them.
        shown: seeds whose pictures are kept for the report.
        album: what was drawn without the eraser.
        each: called with every picture under the eraser.
        kept: pictures of an earlier, unfinished run.
        spared: seconds that pictures took which were found there.
    """

    pipe: Any
    eraser: Eraser
    judge: Judge
    sampling: Sampling
    shown: Sequence[int]
    album: Album
    each: Callable[[Job, Picture], None] = lambda job, picture: None
    kept: Kept | None = None
    spared: float = 0.0

    def shoot(self, batch: list[Job]) -> list[Shot]:
        """One batch, drawn up to three times from the same seeds.

        Where bytes are to be compared, the picture without the eraser is drawn in the same batch.
        """
        base = self.base(batch, fresh=batch[0].gated and batch[0].shut)
        gated = self.draw(batch, [self.eraser]) if batch[0].gated else None
        exported = self.draw(batch, [self.eraser], plain=True) if batch[0].exported else None
        self.flush()
        return [
            self._shot(job, base[i], gated[i] if gated else None, exported[i] if exported else None)
            for i, job in enumerate(batch)
        ]

    def base(self, batch: list[Job], fresh: bool) -> list[tuple[Picture, Verdict]]:
        """The pictures without an eraser: remembered ones, unless they must be fresh."""
        known = None if fresh else self.album.find(batch)
        if known is None:
            known = self.draw(batch)
            self.album.keep(batch, known)
        return known

    def draw(
        self, batch: list[Job], erasers: Sequence[Eraser] = (), plain: bool = False
    ) -> list[tuple[Picture, Verdict]]:
        """The pictures of a batch under some erasers, with the judge's verdict on each; `plain`: under `plain_lora`."""
        texts, seeds = [job.prompt.text for job in batch], [job.seed for job in batch]
        way = [plain, *map(eraser_digest, erasers)] if self.kept else []
        pictures = self.kept.find(way, texts, seeds) if self.kept else None
        if pictures is not None:
            self.spared += sum(picture.seconds for picture in pictures)
        else:
            with plain_lora(self.pipe, erasers[0].adapter) if plain else nullcontext():
                pictures = generate(self.pipe, texts, seeds, self.sampling, [] if plain else erasers)
            pictures = [counted(self.pipe, picture) for picture in pictures]
            if self.kept:
                self.kept.keep(way, pictures)
        verdict = self.judge.verdict([picture.image for picture in pictures])
        return [(picture, verdict.row(i)) for i, picture in enumerate(pictures)]

    def flush(self) -> None:
        """Keep what was drawn since the last time."""
        if self.kept:
            self.kept.flush()

    def _shot(
        self,
        job: Job,
        base: tuple[Picture, Verdict],
        gated: tuple[Picture, Verdict] | None,
        exported: tuple[Picture, Verdict] | None,
    ) -> Shot:
        def seen(page: tuple[Picture, Verdict]) -> View:
            return view(page[0].image, page[1], base[0].image, base[1], job.seed in self.shown)

        after = gated or base
        self.each(job, after[0])
        shot = Shot(
            job.prompt,
            job.seed,
            seen(base),
            seen(after),
            seen(exported) if exported else None,
            after[0].decisions[0] if after[0].decisions else Decision(False, by="mode"),
            after[0].evaluations or 0.0,
            base[0].evaluations or 0.0,
            after[0].seconds,
            base[0].seconds,
            compared=gated is not None,
        )
        return shot if gated else replace(shot, decision=self._closed(job))

    def _closed(self, job: Job) -> Decision:
        """The decision of a picture that was not drawn again, which the text alone gives."""
        if self.eraser.mode != "auto" or self.eraser.strength == 0:
            return Decision(False, by="mode")
        return decide_prompts(denoiser_for(self.pipe), self.eraser.adapter, [job.prompt.text])[0]
