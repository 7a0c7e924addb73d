"""What reviewers of UnGuide (arXiv 2508.05755) asked: `python -m benchmarks.ablation --concepts cat`.

Which part does the work? The untouched model; the LoRA alone; the LoRA twice (w = -1 for every prompt); UnGuide's gate
with w2 = 2 and with w2 = 1 for prompts that it leaves closed, its R runs a prompt being 1, 8 and 30; our gate; for a
LoRA that UnGuide's training made, and for ours. Then one thing changed at a time: gamma, strength, rank, reference.
UnGuide's training is the method `paper` at a learning rate at which it erases on this model (`--rate`).
A training is kept in `--out`/ablation and not made again; `docs/evaluation.md` has the tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import common
from benchmarks.methods import Bench, Case, accuracies, case, distance, saturation, share
from lora_unlearn import Adapter, Eraser, denoiser_for, erase, load_bank
from lora_unlearn.calibrate import text_scores
from lora_unlearn.paper import CLOSED_STRENGTH, OPEN_STRENGTH, changes
from lora_unlearn.settings import Settings
from lora_unlearn.training.methods import METHODS

REPEATS = (1, 8, 30)
"""R, over how many runs the gate's norm is averaged."""
STRENGTHS = (0.5, 1.0, 1.5, 2.0, 3.0)
CHANGED: dict[str, tuple[Any, ...]] = {
    "gamma": (0.0, 1.0, 2.0, 3.0),
    "rank": (1, 2, 4),
    "reference": ("empty", "nearest"),
}
"""What is changed by itself in UnGuide's training."""
OPENED = ("opened for the concept", "for others")
STEPS_RUN = 10
"""Of 50: how far the gate's runs go."""


@dataclass
class Pictures:
    """What an adapter makes of a case's prompts at one strength, in every picture: images and what is seen on them."""

    images: list[Any]
    looks: list[Any]

    def instead_where(self, chosen: Sequence[bool], other: Pictures) -> Pictures:
        """These where a gate is open, the other ones elsewhere."""
        images = [own if one else two for own, two, one in zip(self.images, other.images, chosen, strict=True)]
        looks = [own if one else two for own, two, one in zip(self.looks, other.looks, chosen, strict=True)]
        return Pictures(images, looks)


class Ablation(Bench):
    """One concept's prompts, drawn at any strength without a gate, on both rows of the guidance as UnGuide does."""

    def __init__(self, asked: Case) -> None:
        super().__init__()
        self.asked = asked
        self.base = self.of()

    def of(self, *erasers: Eraser) -> Pictures:
        """Pictures of all prompts."""
        return Pictures(*self.drawn(self.asked.prompts, 0, *erasers))

    def at(self, adapter: Adapter, strength: float, both_rows: bool = True) -> Pictures:
        """The same under an adapter that is always on."""
        return self.of(Eraser(adapter, strength, "on", both_rows=both_rows)) if strength else self.base

    def row(self, found: Pictures, **names: Any) -> dict[str, Any]:
        """The figures of some pictures."""
        first = len(self.asked.asked) + len(self.asked.alike)
        others = list(zip(self.base.images[first:], found.images[first:], strict=True))
        row = names | accuracies(self.asked, self.base.looks, found.looks)
        row["identical"] = share(one.tobytes() == two.tobytes() for one, two in others)
        row["moved"] = sum(distance(one, two) for one, two in others) / len(others)
        row["saturation"] = saturation(found.images) / max(1e-9, saturation(self.base.images))
        print(row, flush=True)
        return row

    def norms(self, adapter: Adapter) -> tuple[torch.Tensor, torch.Tensor]:
        """The adapter's change in `max(REPEATS)` runs of each prompt, (prompts, R), and of the empty one, (R,)."""
        settings = replace(adapter.settings, guidance_scale=7.5, trajectory_steps=50)
        found = [
            changes(denoiser_for(self.pipe), adapter, text, settings, max(REPEATS), STEPS_RUN, seed)
            for seed, text in enumerate([*self.asked.prompts, ""])
        ]
        return torch.stack(found[:-1]), found[-1]


def gates(bench: Ablation, adapter: Adapter, training: str) -> Iterator[dict[str, Any]]:
    """Who decides, and what becomes of prompts that are left closed."""
    alone, twice = bench.at(adapter, 1.0), bench.at(adapter, OPEN_STRENGTH)
    nobody = dict.fromkeys(OPENED, "")
    for what, found in ("the untouched model", bench.base), ("LoRA alone", alone), ("LoRA twice (w = -1)", twice):
        yield bench.row(found, training=training, what=what) | nobody
    away = bench.at(adapter, CLOSED_STRENGTH)
    norms, empty = bench.norms(adapter)
    concept = len(bench.asked.asked) + len(bench.asked.alike)
    for repeats in REPEATS:
        opened = (norms[:, :repeats].mean(1) > empty[:repeats].mean()).tolist()
        told = dict(zip(OPENED, (share(opened[:concept]), share(opened[concept:])), strict=True))
        for weight, closed in ((2, away), (1, bench.base)):
            what = f"UnGuide's gate, R = {repeats}, w2 = {weight}"
            yield bench.row(twice.instead_where(opened, closed), training=training, what=what) | told
    ours = (text_scores(bench.reader, adapter.gate, bench.asked.prompts) >= adapter.gate.threshold).tolist()
    told = dict(zip(OPENED, (share(ours[:concept]), share(ours[concept:])), strict=True))
    behind = bench.at(adapter, 1.0, both_rows=False).instead_where(ours, bench.base)
    yield bench.row(behind, training=training, what="our gate, s = 1") | told


def changed(bench: Ablation, folder: Path, usual: Settings, name: str) -> Iterator[dict[str, Any]]:
    """One thing at a time, without a gate at w = -1, as UnGuide erases; the strength of the usual LoRA last."""
    for field, values in CHANGED.items():
        for value in values:
            adapter = made(bench, folder, "paper", replace(usual, **{field: value}), f"{field}-{value}", name)
            yield bench.row(bench.at(adapter, OPEN_STRENGTH), changed=field, to=value)
    adapter = made(bench, folder, "paper", usual, "usual", name)
    for strength in STRENGTHS:
        yield bench.row(bench.at(adapter, strength), changed="strength", to=strength)


def made(bench: Ablation, folder: Path, mode: str, settings: Settings, title: str, name: str) -> Adapter:
    """An eraser, made once and kept."""
    path = folder / f"{name}-{mode}-{title}.safetensors"
    if not path.is_file():
        erase(bench.reader, bench.asked.concept, load_bank("demo"), mode, settings).save(path)
    return Adapter.load(path)


def main() -> None:
    """Print and keep two tables for each concept."""
    options = common.options(__doc__ or "", rate=1e-3, iterations=50)
    folder = options.out / "ablation"
    folder.mkdir(parents=True, exist_ok=True)
    usual = replace(METHODS["paper"].settings, learning_rate=options.rate, iterations=options.iterations)
    for name in options.concepts:
        bench = Ablation(case(name))
        ours = made(bench, folder, "fast", METHODS["fast"].settings, "usual", name)
        theirs = made(bench, folder, "paper", usual, "usual", name)
        rows = [*gates(bench, theirs, "UnGuide's"), *gates(bench, ours, "ours")]
        print(common.markdown(rows), common.markdown(list(changed(bench, folder, usual, name))), sep="\n", flush=True)


if __name__ == "__main__":
    main()
