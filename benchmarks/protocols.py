"""Every protocol of `lora_unlearn.evaluate.protocols` on erasers of the demo model, as tables for docs/evaluation.md.

    python -m benchmarks.protocols

Erases each concept by each method, measures by every protocol that the judge can answer, and shares the pictures
without an eraser between all of them; `sequence` measures *instant* erasers of ten things. `--relative`: on the
language relative, whose prompts a real text encoder reads. What is measured is kept (protocols.json), and not measured
again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.relative.model import load_language_relative, load_relative_judge
from lora_unlearn import Concept, Eraser, denoiser_for, erase, load_bank
from lora_unlearn.demo.checkpoint import load_demo
from lora_unlearn.demo.words import STYLES, THINGS
from lora_unlearn.errors import UnlearnError
from lora_unlearn.evaluate import CLASSES, Album, DemoJudge, Judge, Saving
from lora_unlearn.evaluate.protocols import PROTOCOLS, Bench, ask, measure
from lora_unlearn.evaluate.summary import plain
from lora_unlearn.hosts.generate import Sampling

from .common import markdown, options

METHODS = ("fast", "instant")
SEQUENCE = "sequence"
"""The protocol that takes several erasers: of the ten things of `CLASSES`, each knowing the others, as in a list."""
SAVING = Saving(closed=0, exported=0)
"""Closed gates draw the model's own picture, which `integrity` compares; so do we not draw it twice."""
ROWS = {
    "unguide: H": ("unguide", "h"),
    "canvas: UA": ("canvas", "ua", "gated", "share"),
    "canvas: IRA": ("canvas", "ira", "gated", "share"),
    "canvas: IRA before": ("canvas", "ira", "base", "share"),
    "canvas: CRA": ("canvas", "cra", "gated", "share"),
    "canvas: CRA before": ("canvas", "cra", "base", "share"),
    "integrity": ("integrity", "gated", "integrity"),
    "integrity: identical": ("integrity", "gated", "identical", "share"),
    "integrity, always on": ("integrity", "exported", "integrity"),
    "gate: other sentences": ("gate", "paraphrase", "share"),
    "gate: other words": ("gate", "synonym", "share"),
    "gate: captions without it": ("gate", "caption", "share"),
    "hub: target proportion": ("hub", "target_proportion", "gated", "share"),
    "hub: pinpoint-ness": ("hub", "pinpoint", "gated", "share"),
    "hub: selective alignment": ("hub", "selective_alignment", "gated", "share"),
    "hub: forms that people try": ("hub", "attacks", "gated", "share"),
    "hub: the same, before": ("hub", "attacks", "base", "share"),
    "implicit: opened for its kinds": ("implicit", "subclass", "opened", "share"),
    "implicit: opened for its genus": ("implicit", "superclass", "opened", "share"),
    "implicit: opened for other senses": ("implicit", "sense", "opened", "share"),
}


def main() -> None:
    """Measure what is missing, and print the tables."""
    args = options(__doc__, steps=10, scale=5.0, count=1, relative=False)
    if args.concepts == ["cat", "ship"]:
        args.concepts.append("clipart style")
    kept = args.out / ("protocols-relative.json" if args.relative else "protocols.json")
    found: dict[str, Any] = json.loads(kept.read_text()) if kept.is_file() else {}
    model, album = model_of(args.relative), dict[tuple[str, ...], Album]()
    denoiser = denoiser_for(model[0])
    for name, method, concepts in columns(args.concepts):
        if name not in found:
            asked = [Concept(of, avoid=tuple(other for other in concepts if other != of)) for of in concepts]
            made = [Eraser(erase(denoiser, one, load_bank(denoiser.family), method)) for one in asked]
            found[name] = measured(bench_of(model, made, args, album), several=name == SEQUENCE)
            save(kept, found)
    print(table(found, [name for name, _, _ in columns(args.concepts) if name != SEQUENCE]))
    print(markdown(sizes(found[SEQUENCE][SEQUENCE]["sizes"])))


def columns(concepts: Sequence[str]) -> list[tuple[str, str, Sequence[str]]]:
    """What is measured: its name, the method, and the concepts whose erasers are on."""
    single = [(f"{concept}, {method}", method, [concept]) for concept in concepts for method in METHODS]
    return [*single, (SEQUENCE, METHODS[-1], tuple(CLASSES))]


def model_of(relative: bool) -> tuple[Any, Judge]:
    """What draws, and who sees what it draws."""
    if relative:
        return load_language_relative(), DemoJudge(load_relative_judge())
    return load_demo(), DemoJudge()


def bench_of(model: tuple[Any, Judge], made: list[Eraser], args: Any, album: dict[tuple[str, ...], Album]) -> Bench:
    """A model with its judge."""
    sampling = Sampling(args.steps, args.scale, batch=32)
    return Bench(
        model[0], made, model[1], sampling, args.count, True, saving=SAVING, paraphrases=0, things=tuple(THINGS),
        styles=tuple(STYLES), album=album,
    )  # fmt: skip


def measured(bench: Bench, several: bool) -> dict[str, Any]:
    """The figures of every protocol, for one eraser or for several, that the judge can answer."""
    asked = {}
    for name, row in PROTOCOLS.items():
        try:
            asked |= ask(bench, [name]) if row.several == several else {}
        except UnlearnError as error:
            print(error)
    return {name: plain(measured.figures) for name, measured in measure(bench, asked).items()}


def save(path: Path, found: dict[str, Any]) -> None:
    """Keep what was measured."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")


def table(found: dict[str, Any], names: list[str]) -> str:
    """The figures of all erasers, a column each."""
    lines = ["| | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    lines += [
        f"| {words} | " + " | ".join(cell(found[name], path) for name in names) + " |" for words, path in ROWS.items()
    ]
    return "\n".join(lines)


def sizes(found: dict[str, Any]) -> list[dict[str, Any]]:
    """What holds under the first so many erasers, a row each."""
    told = {"gone": "erased", "shows another of them": "handed_out", "all else kept": "kept", "identical": "identical"}
    return [
        {"erasers": count} | {words: f"{100 * row[key]['share']:.0f} %" for words, key in told.items()}
        for count, row in found.items()
    ]


def cell(figures: Any, path: tuple[str, ...]) -> str:
    """A figure by its path; nothing where it was not measured."""
    for key in path:
        figures = figures.get(key) if isinstance(figures, dict) else None
    return "" if figures is None else f"{figures:.3f}" if path[-1] in ("h", "integrity") else f"{100 * figures:.0f} %"


if __name__ == "__main__":
    main()
