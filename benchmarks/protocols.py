"""Every protocol of `lora_unlearn.evaluate.protocols` on erasers of the demo model, as a table for docs/evaluation.md.

    python -m benchmarks.protocols

Erases each concept by each method, measures by every protocol that the judge can answer, and shares the pictures
without an eraser between all of them. What is measured is kept (protocols.json), and not measured again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lora_unlearn import Concept, Eraser, denoiser_for, erase, load_bank
from lora_unlearn.demo.checkpoint import load_demo
from lora_unlearn.errors import UnlearnError
from lora_unlearn.evaluate import Album, DemoJudge, Saving
from lora_unlearn.evaluate.protocols import PROTOCOLS, Bench, ask, measure
from lora_unlearn.evaluate.summary import plain
from lora_unlearn.hosts.generate import Sampling

from .common import options

METHODS = ("fast", "instant")
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
    """Measure what is missing, and print the table."""
    args = options(__doc__, steps=10, scale=5.0, count=1)
    if args.concepts == ["cat", "ship"]:
        args.concepts.append("clipart style")
    kept = args.out / "protocols.json"
    found: dict[str, Any] = json.loads(kept.read_text()) if kept.is_file() else {}
    pipe, album = load_demo(), dict[tuple[str, ...], Album]()
    for method in METHODS:
        for concept in args.concepts:
            name = f"{concept}, {method}"
            if name not in found:
                made = Eraser(erase(denoiser_for(pipe), Concept(concept), load_bank("demo"), method))
                found[name] = measured(bench_of(pipe, [made], args, album))
                save(kept, found)
    print(table(found, [f"{concept}, {method}" for concept in args.concepts for method in METHODS]))


def bench_of(pipe: Any, erasers: list[Eraser], args: Any, album: dict[tuple[str, ...], Album]) -> Bench:
    """The demo model with its judge."""
    sampling = Sampling(args.steps, args.scale, batch=32)
    return Bench(pipe, erasers, DemoJudge(), sampling, args.count, True, saving=SAVING, paraphrases=0, album=album)


def measured(bench: Bench) -> dict[str, Any]:
    """The figures of every protocol for one eraser that the judge can answer."""
    asked = {}
    for name, row in PROTOCOLS.items():
        try:
            asked |= {} if row.several else ask(bench, [name])
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


def cell(figures: Any, path: tuple[str, ...]) -> str:
    """A figure by its path; nothing where it was not measured."""
    for key in path:
        figures = figures.get(key) if isinstance(figures, dict) else None
    return "" if figures is None else f"{figures:.3f}" if path[-1] in ("h", "integrity") else f"{100 * figures:.0f} %"


if __name__ == "__main__":
    main()
