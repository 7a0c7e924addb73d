"""Erasure on the language relative: `python -m benchmarks.language_erasure --concepts cat dog ... --seeds 3`.

For every concept, mode and seed: what is left of the concept and of the names that nobody gave and the base draws, what
appears instead, what becomes of all other objects without a gate, and whether a closed gate leaves them byte for byte.
One JSON file a run lies in `--out`; what is there is not measured again. `--table` prints the table.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import common
from benchmarks.encoders import Remembered
from benchmarks.relative.captions import held_out
from benchmarks.relative.model import FOLDER, load_language_relative, load_relative_judge
from benchmarks.relative.words import THINGS
from lora_unlearn import Concept, Eraser, denoiser_for, erase, load_bank
from lora_unlearn.calibrate import text_scores
from lora_unlearn.erase import MODES
from lora_unlearn.hosts.generate import Sampling, generate

TEN = ("cat", "dog", "ship", "frog", "bird", "horse", "truck", "bicycle", "cow", "guitar")
"""The concepts by default."""
SAMPLING = Sampling(steps=10, guidance_scale=5.0, batch=32)
AGAIN = 6
"""How many pictures with a closed gate are drawn again, to be compared byte by byte."""
DRAWN = 0.67
"""A name counts as drawn by the base from this share in `language.json`."""


def main() -> None:
    """Measure what is missing, then print the table."""
    options = common.options(__doc__ or "", seeds=1, modes="fast,instant", pictures=8, table=False)
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
        settings = replace(MODES[mode], seed=seed)
        adapter = erase(reader, Concept(name), load_bank("language"), mode, settings)
    known = json.loads((FOLDER / "language.json").read_text(encoding="utf-8"))["things"]
    names = [word for word, share in known[name]["names"].items() if share >= DRAWN]
    others = [thing for thing in THINGS if thing != name][seed % 2 :: 2]
    target = [held_out(name, i) for i in range(options.pictures)]
    alike = [held_out(word, i) for word in names for i in range(2)]
    rest = [held_out(thing, i) for i, thing in enumerate(others)]
    prompts, start = target + alike + rest, len(target + alike)
    plain, erased = (shown(pipe, judge, prompts, seed, erasers) for erasers in ((), [Eraser(adapter, 1.0, "on")]))
    gate, scores = adapter.gate, text_scores(reader, adapter.gate, prompts)
    opened = (scores >= gate.threshold).tolist()
    closed = [i for i in range(start, len(prompts)) if not opened[i]][:AGAIN]
    untouched, gated = (  # in one batch's size: another size rounds otherwise
        shown(pipe, judge, [prompts[i] for i in closed], seed, erasers, closed) for erasers in ((), [Eraser(adapter)])
    )
    drawn = [i for i, thing in enumerate(others) if plain[start + i][0] == thing]
    instead = [(label, sure) for label, sure, _ in erased[:start] if label != name]
    return {
        "instead of it": adapter.instead,
        "rank": adapter.lora.rank,
        "redirected": adapter.redirected,
        "partial": adapter.partial,
        "updates": adapter.iterations,
        "evaluations": adapter.evaluations["training"],
        "target left": left(erased[: len(target)], name),
        "names left": left(erased[len(target) : start], name),
        "names": len(alike),
        "others kept, always on": sum(erased[start + i][0] == others[i] for i in drawn) / len(drawn),
        "confidence": sum(sure for _, sure in instead) / max(1, len(instead)),
        "appears": dict(Counter(label for label, _ in instead).most_common(3)),
        "gate: target": sum(opened[: len(target)]) / len(target),
        "gate: names": sum(opened[len(target) : start]) / max(1, len(alike)),
        "gate: others": sum(opened[start:]) / len(rest),
        "closed and identical": sum(a[2] == b[2] for a, b in zip(untouched, gated, strict=True)) / max(1, len(closed)),
    }


def left(pictures: Sequence[Any], name: str) -> float:
    """The share on which the judge still sees the concept."""
    return sum(label == name for label, _, _ in pictures) / max(1, len(pictures))


def shown(
    pipe: Any, judge: Any, prompts: Sequence[str], seed: int, erasers: Sequence[Any], numbers: Sequence[int] = ()
) -> list[tuple[str, float, bytes]]:
    """For each prompt the judge's label, how sure it is, and the picture's bytes; `numbers` are their places."""
    seeds = [1000 * seed + i for i in numbers or range(len(prompts))]
    pictures = generate(pipe, prompts, seeds, SAMPLING, erasers)
    found = []
    for start in range(0, len(pictures), 64):
        part = pictures[start : start + 64]
        sure, best = judge(torch.stack([common.pixels(p.image) for p in part]))["thing"].softmax(1).max(1)
        for picture, share, label in zip(part, sure.tolist(), best.tolist(), strict=True):
            found.append((judge.labels[label], share, picture.image.tobytes()))
    return found


def table(folder: Path) -> list[dict[str, Any]]:
    """Means over the seeds, a row for each mode and concept, and each mode's mean and worst."""
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    worst_is_low = ("others kept, always on", "confidence", "gate: target", "gate: names", "closed and identical")
    figures = ("target left", "names left", "gate: others", *worst_is_low)
    rows: list[dict[str, Any]] = []
    for mode in sorted({run["mode"] for run in runs}):
        mine = [run for run in runs if run["mode"] == mode]
        for name in sorted({run["concept"] for run in mine}):
            group = [run for run in mine if run["concept"] == name]
            row = {"mode": mode, "concept": name, "seeds": len(group), "instead of it": group[0]["instead of it"]}
            means = {key: round(sum(run[key] for run in group) / len(group), 3) for key in figures}
            rows.append(row | {"rank": group[0]["rank"], "evaluations": group[0]["evaluations"]} | means)
        own = [row for row in rows if row["mode"] == mode]
        blank = dict.fromkeys(own[0], "")
        rows.append(
            blank
            | {"mode": mode, "concept": "**mean**"}
            | {k: round(sum(r[k] for r in own) / len(own), 3) for k in figures}
        )
        worst = {k: (min if k in worst_is_low else max)(r[k] for r in own) for k in figures}
        rows.append(blank | {"mode": mode, "concept": "**worst**"} | worst)
    return rows


if __name__ == "__main__":
    main()
