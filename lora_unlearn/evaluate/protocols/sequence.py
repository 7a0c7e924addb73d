"""Several erasers at once, the first k of a list: what is gone, what does one hand out that another took, what stays?

Sizes 1, 2, 4, 8, 10 as far as there are erasers, as in continual unlearning; the order is the user's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...bounds import clopper_pearson
from ...errors import UnlearnError
from ...guidance import Eraser
from ..drawing import Album, Job, Studio
from ..prompts import TEMPLATE, Prompt, Protocol
from .bench import Bench
from .row import Measured, asking

SIZES = (1, 2, 4, 8, 10)


def ask(bench: Bench) -> Protocol:
    """Every concept, and everything else that the judge knows.

    Raises:
        UnlearnError: if two erasers are for one concept, or the judge does not know one of them.
    """
    names = [eraser.adapter.concept.name for eraser in bench.erasers]
    for name in names:
        if name not in bench.judge.labels:
            raise UnlearnError(f"sequence: the judge does not know {name!r}; it knows {', '.join(bench.judge.labels)}.")
        if names.count(name) > 1:
            raise UnlearnError(
                f"sequence: {names.count(name)} of the erasers are for {name!r}; name each concept once."
            )
    others = [label for label in bench.judge.labels if label not in (*names, "other")]
    prompts = [Prompt(TEMPLATE.format(name), "target", name) for name in names]
    return asking(bench, [*prompts, *(Prompt(TEMPLATE.format(word), "retained", word) for word in others)])


def measure(bench: Bench, asked: Protocol, seeds: Sequence[int]) -> Measured:
    """The same prompts and seeds under the first k erasers, for every size; an interrupt keeps those that are done."""
    names, sizes = [eraser.adapter.concept.name for eraser in bench.erasers], sizes_of(bench)
    judge = bench.judge_of(asked.labels, asked.styles, "sequence")
    studio = Studio(bench.pipe, bench.eraser, judge, bench.sampling, (), Album(), kept=bench.kept)
    jobs = [Job(prompt, seed, False, True, False) for prompt in asked.prompts for seed in seeds]
    found = dict[str, Any]()
    try:
        for size in sizes:
            shots = list[Seen]()
            for start in range(0, len(jobs), bench.sampling.batch):
                shots += shoot(studio, jobs[start : start + bench.sampling.batch], bench.erasers[:size])
                bench.report(f"sequence, {size} on", len(shots), len(jobs))
            found[str(size)] = counts(shots, names[:size])
    except KeyboardInterrupt:
        if not found:
            raise
    return Measured({"order": names, "sizes": found}, unfinished=len(found) < len(sizes))


def sizes_of(bench: Bench) -> list[int]:
    """How many erasers are on, one after the other."""
    return sorted({size for size in SIZES if size < len(bench.erasers)} | {len(bench.erasers)})


def pictures(bench: Bench, asked: Protocol, seeds: Sequence[int]) -> int:
    """How many are drawn: all without an eraser, and under every size."""
    return len(asked.prompts) * len(seeds) * (1 + len(sizes_of(bench)))


@dataclass(frozen=True)
class Seen:
    """A prompt's picture: what the judge sees before and after, if the bytes are the same, if a gate opened."""

    prompt: Prompt
    before: str
    after: str
    identical: bool
    opened: bool


def shoot(studio: Studio, batch: list[Job], erasers: Sequence[Eraser]) -> list[Seen]:
    """One batch without erasers, remembered from the first size on, and with them."""
    base, after, labels = studio.base(batch, fresh=False), studio.draw(batch, erasers), studio.judge.labels
    studio.flush()
    return [
        Seen(
            job.prompt,
            labels[int(seen.probabilities[0].argmax())],
            labels[int(now.probabilities[0].argmax())],
            picture.image.tobytes() == drawn.image.tobytes(),
            any(decision.open for decision in drawn.decisions),
        )
        for job, (picture, seen), (drawn, now) in zip(batch, base, after, strict=True)
    ]


def counts(shots: Sequence[Seen], names: Sequence[str]) -> dict[str, Any]:
    """The figures of one size; `names`: the concepts whose erasers are on."""
    asked = [shot for shot in shots if shot.prompt.wanted in names]
    others = [shot for shot in shots if shot.prompt.wanted not in names]
    kept = [shot for shot in others if shot.before == shot.prompt.wanted]
    gone = [
        (shot.prompt.wanted, shot.after != shot.prompt.wanted) for shot in asked if shot.before == shot.prompt.wanted
    ]
    taken = [(shot, shot.after in names and shot.after != shot.prompt.wanted) for shot in asked]
    return {
        "erased": share([value for _, value in gone]),
        "erased_each": {name: share([value for of, value in gone if of == name]) for name in names},
        "handed_out": share([value for _, value in taken]),
        "handed": [f"{shot.prompt.wanted} became {shot.after}" for shot, value in taken if value],
        "kept": share([shot.after == shot.prompt.wanted for shot in kept]),
        "identical": share([shot.identical for shot in others]),
        "opened_by_mistake": share([shot.opened for shot in others]),
    }


def share(hits: Sequence[bool]) -> dict[str, Any]:
    """A share with its exact interval."""
    found = clopper_pearson(sum(hits), len(hits)) if hits else None
    return {"share": sum(hits) / len(hits) if hits else None, "interval": found, "pictures": len(hits)}
