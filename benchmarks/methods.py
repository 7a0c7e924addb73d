"""Every method side by side: `python -m benchmarks.methods --sweep`, then `python -m benchmarks.methods --seeds 3`.

For each method, concept and seed on the demo model: what is left of the concept (Acc_e) and of its synonyms (Acc_g),
what is kept of everything else (Acc_s), always on and behind the gate, their harmonic mean H; how far other pictures
move and how many stay byte for byte; what appears instead: confidence, how many different things, saturation;
evaluations and seconds. `--sweep` tries learning rates on the first concept; a row is then made with the best one.
One JSON file a run lies in a folder for this way of making erasers (`RECIPE`) in `--out`; what is there is not measured
again. `--table` prints the table, for `--concepts` alone where they are named; `--write` keeps figures for
`lora-unlearn methods`.
The same methods on a real text encoder: `python -m benchmarks.language_erasure --modes esd,leco`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import lora_unlearn
from benchmarks import common
from benchmarks.budget import variety
from benchmarks.encoders import Remembered
from lora_unlearn import Adapter, Concept, Eraser, UnlearnError, denoiser_for, erase, generate, load_bank
from lora_unlearn.calibrate import text_scores
from lora_unlearn.demo.judge import load_judge
from lora_unlearn.demo.words import STYLES, THINGS
from lora_unlearn.erase import RECIPE
from lora_unlearn.evaluate.prompts import HELD_OUT
from lora_unlearn.evaluate.scores import harmonic
from lora_unlearn.training.methods import METHODS

RATES = (3e-3, 1e-2, 3e-2)
"""What is swept, where a method trains."""
OWN = ("fast", "paper", "robust")
"""Not swept, as what trains nothing: their rates were swept elsewhere (`benchmarks.paper_mode`)."""
NAMES = ("cat", "ship", "frog", "bird", "flat sticker style", "red apple")
SWEPT_ON = NAMES[:1]
STYLE, COLOUR = "flat sticker", 40.0
"""The style that is erased, and from how many levels of 255 more of it than of green an apple is red."""
KINDS: dict[str, Callable[[str], bool]] = {
    "things": lambda name: name not in NAMES[4:], "style": NAMES[4].__eq__, "attribute": NAMES[5].__eq__,
}  # fmt: skip
"""H is told for each kind of concept."""
FIGURES = ("Acc_e", "Acc_g", "Acc_s", "H", "H gated", "moved", "identical gated", "confidence", "variety", "saturation")
KEPT = ("H", "worst H", "H gated", "evaluations", "seconds", "rate", "concepts", "seeds")
"""What `lora-unlearn methods` tells, of which `--write` keeps the last figures in the package."""
FILE = Path(lora_unlearn.__file__).parent / "training" / "figures.json"
Look = tuple[str, str, bool]
"""What is seen on a picture: a thing, a style, and whether the middle is red."""


@dataclass(frozen=True)
class Case:
    """A concept with what is asked of the model about it.

    Attributes:
        concept: what is erased.
        asked, alike, others: prompts that name it, that mean it in words nobody gave, and that do not mean it.
        shows: whether a picture shows it.
        stays: whether a picture of another prompt is still what it was (seen now, seen before).
    """

    concept: Concept
    asked: list[str]
    alike: list[str]
    others: list[str]
    shows: Callable[[Look], bool]
    stays: Callable[[Look, Look], bool]

    @property
    def prompts(self) -> list[str]:
        """All of them."""
        return self.asked + self.alike + self.others


def main() -> None:
    """Measure what is missing, then print the table."""
    options = common.options(__doc__ or "", methods="", seeds=1, sweep=False, table=False, write=False)
    folder = options.out / f"methods-recipe{RECIPE}"
    folder.mkdir(parents=True, exist_ok=True)
    names = options.methods.split(",") if options.methods else list(METHODS)
    concepts = NAMES if options.concepts == ["cat", "ship"] else options.concepts
    if not options.table:
        bench = Bench()
        for seed in range(options.seeds):
            for name in names:
                for concept in SWEPT_ON if options.sweep else concepts:
                    for rate in rates(name) if options.sweep else (best_rate(folder, name),):
                        once(folder, bench, name, concept, rate, seed)
    rows = table(folder, concepts)
    print(common.markdown(rows))
    if options.write and tuple(concepts) != NAMES:
        raise UnlearnError("--write keeps figures of the usual concepts alone; leave --concepts out.")
    if options.write:
        kept = {row["method"]: {key: row[key] for key in KEPT} for row in rows}
        kept = json.loads(FILE.read_text(encoding="utf-8")) | kept  # rows of methods that were not measured here stay
        FILE.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def once(folder: Path, bench: Bench, name: str, concept: str, rate: float, seed: int) -> None:
    """One run, unless it is there; what a method refuses is a row, too."""
    path = folder / f"{name}-{concept.replace(' ', '_')}-{rate:g}-{seed}.json"
    if path.is_file():
        return
    row: dict[str, Any] = {"method": name, "concept": concept, "rate": rate, "seed": seed}
    try:
        row |= bench.measured(name, case(concept), rate, seed)
    except UnlearnError as error:
        row["refused"] = str(error)
    path.write_text(json.dumps(row), encoding="utf-8")
    print(row, flush=True)


def rates(name: str) -> tuple[float, ...]:
    """The learning rates that are tried."""
    settings = METHODS[name].settings
    return RATES if settings.trains and name not in OWN else (settings.learning_rate,)


def best_rate(folder: Path, name: str) -> float:
    """The swept rate with the best mean H without a gate; the method's own where nothing was swept."""
    found: dict[float, list[float]] = {}
    for path in folder.glob(f"{name}-*-0.json"):
        row = json.loads(path.read_text(encoding="utf-8"))
        if row["method"] == name and row["concept"] in SWEPT_ON and row["rate"] in rates(name):
            found.setdefault(row["rate"], []).append(row.get("H", 0.0))
    own = METHODS[name].settings.learning_rate
    return max(found, key=lambda rate: (sum(found[rate]) / len(found[rate]), -abs(rate - own)), default=own)


class Bench:
    """The demo model, its judge, and what the untouched model draws."""

    def __init__(self) -> None:
        self.pipe, self.judge = common.pipeline(None), load_judge()
        self.reader: Any = Remembered(denoiser_for(self.pipe))
        self.plain: dict[tuple[str, int], tuple[list[Any], list[Look]]] = {}

    def measured(self, name: str, asked: Case, rate: float, seed: int) -> dict[str, Any]:
        """One eraser, always on and behind its gate."""
        settings = replace(METHODS[name].settings, seed=seed, learning_rate=rate)
        started = time.perf_counter()
        with torch.enable_grad():
            adapter = erase(self.reader, asked.concept, load_bank("demo"), name, settings)
        seconds = time.perf_counter() - started
        key = asked.concept.name, seed
        if key not in self.plain:
            self.plain[key] = self.drawn(asked.prompts, seed)
        erased = self.drawn(asked.prompts, seed, Eraser(adapter, 1.0, "on"))
        opened = (text_scores(self.reader, adapter.gate, asked.prompts) >= adapter.gate.threshold).tolist()
        found = {"instead of it": adapter.instead, "partial": adapter.partial, "updates": adapter.iterations}
        found |= {"evaluations": adapter.evaluations["training"], "seconds": round(seconds, 1)}
        return found | self.scores(asked, self.plain[key], erased, opened) | {"kB": size(adapter)}

    def drawn(self, prompts: Sequence[str], seed: int, *erasers: Eraser) -> tuple[list[Any], list[Look]]:
        """A picture for each prompt, and what is seen on them."""
        seeds = [1000 * seed + place for place in range(len(prompts))]
        images = [picture.image for picture in generate(self.pipe, prompts, seeds, common.QUICK, list(erasers))]
        return images, self.looks(images)

    @torch.no_grad()
    def looks(self, images: Sequence[Any]) -> list[Look]:
        """What the judge sees."""
        logits = self.judge(torch.stack([common.pixels(image) for image in images]))
        things, styles = (logits[head].argmax(1).tolist() for head in ("thing", "style"))
        red = [redness(image) > COLOUR for image in images]
        return [(self.judge.labels[t], list(STYLES)[s], r) for t, s, r in zip(things, styles, red, strict=True)]

    def scores(self, asked: Case, plain: Any, erased: Any, opened: Sequence[bool]) -> dict[str, Any]:
        """All figures of one eraser."""
        (images, before), (changed, after) = plain, erased
        behind = [now if is_open else was for was, now, is_open in zip(before, after, opened, strict=True)]
        first, second = len(asked.asked), len(asked.asked) + len(asked.alike)
        moved = [distance(a, b) for a, b in zip(images[second:], changed[second:], strict=True)]
        instead = [image for image, look in zip(changed[:second], after, strict=False) if not asked.shows(look)]
        return {
            **accuracies(asked, before, after),
            "H gated": accuracies(asked, before, behind)["H"],
            "moved": float(np.mean(moved)),
            "identical gated": share(not is_open for is_open in opened[second:]),
            "open": share(opened[:first]),
            "open, synonyms": share(opened[first:second]),
            "confidence": self.confidence(instead),
            "variety": variety([label for label, *_ in after[:second]]),
            "saturation": saturation(changed[:second]) / max(1e-9, saturation(images[:second])),
        }

    @torch.no_grad()
    def confidence(self, images: Sequence[Any]) -> float:
        """How sure the judge is of the thing that it sees, on average."""
        if not images:
            return 0.0
        logits = self.judge(torch.stack([common.pixels(image) for image in images]))["thing"]
        return float(logits.softmax(1).max(1).values.mean())


def case(name: str) -> Case:
    """The prompts and questions for a thing, for the style, and for the attribute."""
    if name == f"{STYLE} style":
        others = [f"a {thing}, {style}" for thing in list(THINGS)[::6] for style in STYLES if style != STYLE]
        asked = [pattern.format(f"{thing}, {STYLE}") for thing in list(THINGS)[1::5] for pattern in HELD_OUT[:2]]
        alike = [f"a {STYLE} of a {thing}" for thing in list(THINGS)[::3]]
        return Case(Concept(name), asked, alike, others, lambda look: look[1] == STYLE, lambda a, b: a[:2] == b[:2])
    if name == "red apple":
        colours = ("a green apple", "an apple", "a red heart", "a red car", "a heart", "a red star", "a tree")
        others = [pattern.format(words[2:].strip()) for words in colours for pattern in HELD_OUT[:2]]
        asked = [pattern.format("red apple") for pattern in HELD_OUT[:8]]
        alike = [f"an apple that is red, {style}" for style in STYLES] + ["apples, red ones", "red and an apple"]
        concept = Concept("red", of="apple")
        return Case(concept, asked, alike, others, lambda look: look[2], lambda a, b: a[::2] == b[::2])
    sets = common.prompt_sets(name, targets=8, synonyms=3, others=1)
    return Case(
        Concept(name),
        sets["target"][0],
        sets["synonyms"][0],
        sets["others"][0][::2],
        lambda look: look[0] == name,
        lambda a, b: a[0] == b[0],
    )


def accuracies(asked: Case, before: Sequence[Look], after: Sequence[Look]) -> dict[str, float]:
    """Acc_e, Acc_g (of those that the untouched model draws so), Acc_s and their H."""
    first, second = len(asked.asked), len(asked.asked) + len(asked.alike)
    left = [asked.shows(now) for was, now in zip(before[:first], after[:first], strict=True) if asked.shows(was)]
    alike = [asked.shows(n) for w, n in zip(before[first:second], after[first:second], strict=True) if asked.shows(w)]
    kept = [asked.stays(now, was) for was, now in zip(before[second:], after[second:], strict=True)]
    e, g, s = share(left), share(alike), share(kept)
    return {"Acc_e": e, "Acc_g": g, "Acc_s": s, "H": harmonic(e, s, g)}


def share(found: Any) -> float:
    """How many are true, of how many there are."""
    values = list(found)
    return sum(values) / max(1, len(values))


def redness(image: Any) -> float:
    """How much more red than green there is in the middle of a picture, in levels of 255."""
    middle = np.asarray(image, dtype=float)
    height, width = middle.shape[:2]
    part = middle[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3]
    return float(part[..., 0].mean() - part[..., 1].mean())


def distance(one: Any, other: Any) -> float:
    """Mean absolute difference of two pictures, 0 to 1."""
    return float(np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float)).mean() / 255)


def saturation(images: Sequence[Any]) -> float:
    """Mean saturation, 0 to 255."""
    return float(np.mean([np.asarray(image.convert("HSV"))[..., 1].mean() for image in images]))


def size(adapter: Adapter) -> float:
    """The layers' size in half precision, in kB."""
    return sum(parameter.numel() for parameter in adapter.lora.parameters()) * 2 / 1000


def table(folder: Path, concepts: Sequence[str] = NAMES) -> list[dict[str, Any]]:
    """A row for each method at its best rate: means over seeds, then over concepts; H of each kind, and the worst H."""
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    rows = []
    for name in METHODS:
        rate = best_rate(folder, name)
        mine = [run for run in runs if (run["method"], run["rate"]) == (name, rate) and run["concept"] in concepts]
        mine = [run for run in mine if "H" in run]
        if mine:
            known = sorted({run["concept"] for run in mine})
            row: dict[str, Any] = {"method": name, "rate": rate, "concepts": len(known)}
            row["seeds"] = min(len([run for run in mine if run["concept"] == concept]) for concept in known)
            for figure in FIGURES:
                row[figure] = mean_of(mine, figure, known)
                if figure == "H":
                    row["worst H"] = min(run["H"] for run in mine)
                    row |= {f"H, {kind}": mean_of(mine, "H", filter(own, known)) for kind, own in KINDS.items()}
            rows.append(row | {key: round(mean_of(mine, key, known)) for key in ("evaluations", "seconds", "kB")})
    return rows


def mean_of(runs: Sequence[dict[str, Any]], figure: str, concepts: Iterable[str]) -> float:
    """A figure's mean over the seeds of each concept, then over these concepts; not a number where there are none."""
    means = [np.mean([run[figure] for run in runs if run["concept"] == concept]) for concept in concepts]
    return float(np.mean(means)) if means else float("nan")


if __name__ == "__main__":
    main()
