"""E9, E10: which directions, which rank and gamma, trained or not? `python -m benchmarks.directions`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from benchmarks import common
from lora_unlearn.bank import load_bank
from lora_unlearn.concept import Concept
from lora_unlearn.erase import Mode, erase
from lora_unlearn.guidance import Eraser
from lora_unlearn.hosts.diffusers import denoiser_for
from lora_unlearn.settings import Settings

MODES: tuple[Mode, ...] = ("instant", "fast")
TWICE = ("instant, 4 of V, gamma 1", "fast, 4 of V, gamma 1", "random, 1 of K and V, gamma 1")
"""Erasers that are tried at strength 2 as well."""


def erasers() -> Iterator[tuple[str, Mode, Settings]]:
    """Label, mode and settings: gamma and rank around the defaults, keys as well as values, and other directions."""
    for mode in MODES:
        for rank, gamma in [(4, gamma) for gamma in (0.0, 0.5, 1.0, 1.5, 2.0)] + [(rank, 1.0) for rank in (1, 2)]:
            yield f"{mode}, {rank} of V, gamma {gamma:g}", mode, replace(common.FORMER, rank=rank, gamma=gamma)
        for rank in (1, 2, 4):
            yield f"{mode}, {rank} of K and V, gamma 1", mode, replace(common.FORMER, rank=rank, selector="cross_kv")
    yield (
        "discriminant, 1 of K and V, gamma 1",
        "fast",
        replace(common.FORMER, down="discriminant", rank=1, selector="cross_kv"),
    )
    random = replace(common.FORMER, down="random", scale=8.0, rank=1, learning_rate=3e-3, selector="cross_kv")
    yield "random, 1 of K and V, gamma 1", "fast", random


def main() -> None:
    """Print and keep a table: concept x eraser, without any gate."""
    options = common.options(__doc__ or "", targets=12, synonyms=4, others=1)
    pipe, table = common.pipeline(options.checkpoint), []
    for name in options.concepts:
        sets = common.prompt_sets(name, options.targets, options.synonyms, options.others)
        print(name, {group: len(prompts) for group, (prompts, _) in sets.items()}, common.judged(pipe, sets))
        for label, mode, settings in erasers():
            table += rows(pipe, name, label, mode, settings, sets)
            print(table[-1], flush=True)
    common.finish(options.out, "directions", table)


def rows(pipe: Any, name: str, label: str, mode: Mode, settings: Settings, sets: common.Sets) -> list[dict[str, Any]]:
    """One eraser, made and tried at strength 1, some at 2 as well."""
    started = time.perf_counter()
    adapter = erase(denoiser_for(pipe), Concept(name), load_bank("demo"), mode, settings)
    seconds = time.perf_counter() - started
    return [
        {
            "concept": name,
            "eraser": label,
            "s": strength,
            "evaluations": adapter.evaluations["training"],
            "seconds": round(seconds, 1),
            "redirected": "" if adapter.redirected is None else adapter.redirected,
            **common.judged(pipe, sets, [Eraser(adapter, strength, "on")]),
        }
        for strength in ((1.0, 2.0) if label in TWICE else (1.0,))
    ]


if __name__ == "__main__":
    main()
