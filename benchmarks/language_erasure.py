"""Erasure on the language relative: `python -m benchmarks.language_erasure --concepts cat dog ... --seeds 3`.

For every concept, mode and seed: what is left of the concept, of the names that nobody gave and the base draws, and of
plurals, compounds, descriptions and pairs; what appears instead, what becomes of all other objects without a gate, and
whether a closed gate leaves them byte for byte; H behind the gate.
One JSON file a run lies in `--out`; what is there is not measured again. `--table` prints the table. `--rate` is the
learning rate, where it is not the method's own.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import common
from benchmarks.encoders import Remembered
from benchmarks.relative.captions import held_out
from benchmarks.relative.forms import forms
from benchmarks.relative.model import FOLDER, load_language_relative, load_relative_judge
from benchmarks.relative.words import THINGS
from lora_unlearn import Concept, Eraser, denoiser_for, erase, load_bank
from lora_unlearn.calibrate import text_scores
from lora_unlearn.erase import MODES
from lora_unlearn.evaluate.scores import harmonic
from lora_unlearn.hosts.generate import Sampling, generate

TEN = ("cat", "dog", "ship", "frog", "bird", "horse", "truck", "bicycle", "cow", "guitar")
"""The concepts by default."""
SAMPLING = Sampling(steps=10, guidance_scale=5.0, batch=32)
AGAIN = 6
"""How many pictures with a closed gate are drawn again, to be compared byte by byte."""
DRAWN = 0.67
"""A name counts as drawn by the base from this share in `language.json`."""
GROUPS = ("target", "names", "plurals", "compounds", "descriptions", "pairs")
"""Ways to ask for the concept. Of plurals, compounds, descriptions what the base draws as the concept counts, of pairs
those on which it draws both; there the judge says what it sees, not what it sees first."""
WORST_IS_LOW = (
    "H",
    "H, always on",
    "partner",
    "others kept, always on",
    "confidence",
    *(f"gate: {group}" for group in GROUPS),
    "closed and identical",
)
FIGURES = (*(f"{group} left" for group in GROUPS), "gate: others", *(f for f in WORST_IS_LOW if f != "H, always on"))


Look = tuple[str, float, bytes, list[str]]


def main() -> None:
    """Measure what is missing, then print the table."""
    options = common.options(__doc__ or "", seeds=1, modes="fast,instant", pictures=8, rate=0.0, table=False)
    concepts = TEN if options.concepts == ["cat", "ship"] else options.concepts
    folder = options.out / "language_erasure"
    folder.mkdir(parents=True, exist_ok=True)
    if not options.table:
        with torch.no_grad():
            measure_all(folder, concepts, options)
    print(common.markdown(table(folder)))


def measure_all(folder: Path, concepts: Sequence[str], options: Any) -> None:
    """One file for every concept, mode and seed."""
    pipe, judge = load_language_relative(), load_relative_judge()
    reader = Remembered(denoiser_for(pipe))
    for seed in range(options.seeds):
        for name in concepts:
            for mode in options.modes.split(","):
                path = folder / f"{mode}-{name}-{seed}.json"
                if not path.is_file():
                    row = {
                        "mode": mode,
                        "concept": name,
                        "seed": seed,
                        **measured(pipe, reader, judge, name, mode, seed, options),
                    }
                    path.write_text(json.dumps(row), encoding="utf-8")
                    print(row, flush=True)


def measured(pipe: Any, reader: Any, judge: Any, name: str, mode: Any, seed: int, options: Any) -> dict[str, Any]:
    """One eraser, always on and behind its gate."""
    with torch.enable_grad():
        settings = replace(MODES[mode], seed=seed, learning_rate=options.rate or MODES[mode].learning_rate)
        adapter = erase(reader, Concept(name), load_bank("language"), mode, settings)
    others = [thing for thing in THINGS if thing != name][seed % 2 :: 2]
    groups = prompts_of(name, others, options.pictures)
    prompts = [prompt for group in groups.values() for prompt in group]
    plain, erased = (shown(pipe, judge, prompts, seed, erasers) for erasers in ((), [Eraser(adapter, 1.0, "on")]))
    opened = (text_scores(reader, adapter.gate, prompts) >= adapter.gate.threshold).tolist()
    looks, start = {}, 0
    for group, own in groups.items():
        places = range(start, start := start + len(own))
        looks[group] = [(plain[i], erased[i], opened[i]) for i in places]
    figures = {
        "instead of it": adapter.instead,
        "rank": adapter.lora.rank,
        "redirected": adapter.redirected,
        "partial": adapter.partial,
        "updates": adapter.iterations,
        "evaluations": adapter.evaluations["training"],
    }
    same = identical(pipe, judge, prompts, seed, Eraser(adapter), opened, len(prompts) - len(others))
    return figures | judged(looks, name, others) | {"closed and identical": same}


def prompts_of(name: str, others: Sequence[str], pictures: int) -> dict[str, list[str]]:
    """All prompts of a concept, the other things last."""
    known = json.loads((FOLDER / "language.json").read_text(encoding="utf-8"))["things"]
    names = [word for word, share in known[name]["names"].items() if share >= DRAWN]
    return {
        "target": [held_out(name, i) for i in range(pictures)],
        "names": [held_out(word, i) for word in names for i in range(2)],
        **forms(name, others[::2]),
        "others": [held_out(thing, i) for i, thing in enumerate(others)],
    }


def judged(looks: dict[str, list[Any]], name: str, others: Sequence[str]) -> dict[str, Any]:
    """What is left and what is kept."""
    instead = [(label, sure) for _, (label, sure, *_), _ in looks["target"] + looks["names"] if label != name]
    kept = [(look, thing) for look, thing in zip(looks["others"], others, strict=True) if look[0][0] == thing]
    found: dict[str, Any] = {}
    for group in GROUPS[:-1]:
        drawn = [look for look in looks.get(group, ()) if group in ("target", "names") or look[0][0] == name]
        if drawn:
            found[f"{group} left"] = share(erased[0] == name for _, erased, _ in drawn)
            found[f"gate: {group}"] = share(opened for *_, opened in drawn)
    pairs = [
        (look, other)
        for look, other in zip(looks["pairs"], others[::2], strict=False)
        if name in look[0][3] and other in look[0][3]
    ]
    if pairs:
        found["pairs left"] = share(name in erased[3] for (_, erased, _), _ in pairs)
        found["partner"] = share(other in erased[3] for (_, erased, _), other in pairs)
        found["gate: pairs"] = share(opened for (*_, opened), _ in pairs)
    return found | {
        "names": len(looks["names"]),
        "others kept, always on": share(erased[0] == thing for (_, erased, _), thing in kept),
        "confidence": sum(sure for _, sure in instead) / max(1, len(instead)),
        "appears": dict(Counter(label for label, _ in instead).most_common(3)),
        "gate: others": share(opened for *_, opened in looks["others"]),
        "H, always on": harmonic(
            share(erased[0] == name for _, erased, _ in looks["target"]),
            share(erased[0] == thing for (_, erased, _), thing in kept),
            share(erased[0] == name for _, erased, _ in looks["names"]),
        ),
        "H": harmonic(
            share(behind(look) == name for look in looks["target"]),
            share(behind(look) == thing for look, thing in kept),
            share(behind(look) == name for look in looks["names"]),
        ),
    }


def share(found: Iterable[bool]) -> float:
    """How many are true, of how many there are."""
    values = list(found)
    return sum(values) / max(1, len(values))


def behind(look: Any) -> str:
    """What is seen with the gate at work: the base's picture where it stays closed."""
    plain, erased, opened = look
    return (erased if opened else plain)[0]


def identical(
    pipe: Any,
    judge: Any,
    prompts: Sequence[str],
    seed: int,
    eraser: Eraser,
    opened: Sequence[bool],
    start: int,
    sampling: Sampling = SAMPLING,
) -> float:
    """Of the prompts from `start` on whose gate is closed: how many pictures are the base's, byte for byte."""
    closed = [i for i in range(start, len(prompts)) if not opened[i]][:AGAIN]
    untouched, gated = (  # in one batch's size: another size rounds otherwise
        shown(pipe, judge, [prompts[i] for i in closed], seed, erasers, closed, sampling) for erasers in ((), [eraser])
    )
    return share(a[2] == b[2] for a, b in zip(untouched, gated, strict=True))


def shown(
    pipe: Any,
    judge: Any,
    prompts: Sequence[str],
    seed: int,
    erasers: Sequence[Any],
    numbers: Sequence[int] = (),
    sampling: Sampling = SAMPLING,
) -> list[Look]:
    """For each prompt the judge's label, how sure it is, the picture's bytes, and all that it sees there.

    Args:
        numbers: the prompts' places, by which their noise is seeded.
    """
    seeds = [1000 * seed + i for i in numbers or range(len(prompts))]
    pictures = generate(pipe, prompts, seeds, sampling, erasers)
    found = []
    for start in range(0, len(pictures), 64):
        part = pictures[start : start + 64]
        logits = judge(torch.stack([common.pixels(p.image) for p in part]))
        sure, best = logits["thing"].softmax(1).max(1)
        there = [[judge.labels[i] for i in row.nonzero()[:, 0].tolist()] for row in logits["presence"] > 0]
        for picture, share, label, things in zip(part, sure.tolist(), best.tolist(), there, strict=True):
            found.append((judge.labels[label], share, picture.image.tobytes(), things))
    return found


def table(folder: Path, figures: Sequence[str] = FIGURES) -> list[dict[str, Any]]:
    """Means over the seeds, a row for each mode and concept, and each mode's mean and worst."""
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    rows: list[dict[str, Any]] = []
    for mode in sorted({run["mode"] for run in runs}):
        mine = [run for run in runs if run["mode"] == mode]
        for name in sorted({run["concept"] for run in mine}):
            group = [run for run in mine if run["concept"] == name]
            row = {"mode": mode, "concept": name, "seeds": len(group), "instead of it": group[0]["instead of it"]}
            rows.append(
                row | {"rank": group[0]["rank"], "evaluations": group[0]["evaluations"]} | means(group, figures)
            )
        own = [row for row in rows if row["mode"] == mode]
        blank = dict.fromkeys(own[0], "")
        rows.append(blank | {"mode": mode, "concept": "**mean**"} | means(own, figures))
        worst: dict[str, Any] = {}
        for key in figures:
            values = [row[key] for row in own if row[key] != ""]
            worst[key] = (min if key in WORST_IS_LOW else max)(values) if values else ""
        rows.append(blank | {"mode": mode, "concept": "**worst**"} | worst)
    return rows


def means(runs: Sequence[dict[str, Any]], figures: Sequence[str] = FIGURES) -> dict[str, Any]:
    """Of every figure, over the runs that have it; nothing where the base draws no such picture."""
    found: dict[str, Any] = {}
    for key in figures:
        values = [run[key] for run in runs if run.get(key, "") != ""]
        found[key] = round(sum(values) / len(values), 3) if values else ""
    return found


if __name__ == "__main__":
    main()
