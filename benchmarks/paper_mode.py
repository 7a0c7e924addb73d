"""UnGuide's own training with other step sizes: `python -m benchmarks.paper_mode --concepts cat automobile`.

One run of the largest number of iterations also gives the smaller ones: the learning rate is constant. The adapter
works without a gate, on both rows of the guidance as in the released code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import common
from lora_unlearn.adapter import Adapter
from lora_unlearn.bank import load_bank
from lora_unlearn.concept import Concept
from lora_unlearn.erase import erase
from lora_unlearn.evaluate.scores import harmonic
from lora_unlearn.guidance import Eraser
from lora_unlearn.hosts.diffusers import denoiser_for
from lora_unlearn.settings import Settings
from lora_unlearn.training.methods import PAPER

STRENGTHS = (1.0, 2.0)
SAMPLING = replace(common.SAMPLING, steps=20)


def main() -> None:
    """Print and keep a table: concept x learning rate x iterations x strength."""
    options = common.options(__doc__ or "", rates="1e-3,3e-3,1e-2,3e-4,3e-5", iterations="50,200")
    pipe, table = common.pipeline(options.checkpoint), []
    marks = sorted(map(int, options.iterations.split(",")))
    for name in options.concepts:
        sets = common.prompt_sets(name, targets=9, synonyms=3, others=1)
        print(name, "base", common.judged(pipe, sets, sampling=SAMPLING), flush=True)
        for rate in map(float, options.rates.split(",")):
            for adapter in snapshots(pipe, name, replace(PAPER, learning_rate=rate), marks, options.out):
                table += [row(pipe, adapter, sets, strength) for strength in STRENGTHS]
                print(*table[-2:], sep="\n", flush=True)
    common.finish(options.out, "paper_mode", table)


def snapshots(pipe: Any, name: str, settings: Settings, marks: Sequence[int], folder: Path) -> list[Adapter]:
    """The adapter after each of the given numbers of iterations; kept as files, so that it is trained once only."""
    paths = {mark: folder / f"paper-{name}-{settings.learning_rate:g}-{mark}.safetensors" for mark in marks}

    def keep(adapter: Adapter) -> None:
        if adapter.iterations in paths and not paths[adapter.iterations].is_file():
            adapter.save(paths[adapter.iterations])

    if not all(path.is_file() for path in paths.values()):
        folder.mkdir(parents=True, exist_ok=True)
        settings = replace(settings, iterations=max(marks))
        erase(denoiser_for(pipe), Concept(name), load_bank("demo"), "paper", settings, save=keep)
    return [Adapter.load(path) for path in paths.values()]


def row(pipe: Any, adapter: Adapter, sets: common.Sets, strength: float) -> dict[str, Any]:
    """What the adapter leaves at one strength, without a gate."""
    found = common.judged(pipe, sets, [Eraser(adapter, strength, "on", both_rows=True)], SAMPLING)
    acc_e, acc_g, acc_s = (found[group] for group in ("target", "synonyms", "others"))
    return {
        "concept": adapter.concept.name,
        "learning rate": f"{adapter.settings.learning_rate:g}",
        "iterations": adapter.iterations,
        "evaluations": adapter.evaluations["training"],
        "s": strength,
        "Acc_e": acc_e,
        "Acc_g": acc_g,
        "Acc_s": acc_s,
        "H": harmonic(acc_e, acc_s, acc_g),
        "instead": found["instead"],
        "saturation": found["saturation"],
    }


if __name__ == "__main__":
    main()
