"""E9, E10, E4 in part: which directions, trained or not, at which strength? `python -m benchmarks.directions`."""

from __future__ import annotations

import time
from dataclasses import replace

from benchmarks import common
from lora_unlearn.concept import Concept
from lora_unlearn.demo.bank import demo_bank
from lora_unlearn.demo.words import THINGS
from lora_unlearn.erase import erase
from lora_unlearn.evaluate.prompts import CLASSES, HELD_OUT
from lora_unlearn.guidance import Eraser
from lora_unlearn.hosts.diffusers import denoiser_for
from lora_unlearn.settings import INSTANT, Settings

ERASERS = {
    "closed form, rank 4, gamma 0": ("instant", replace(INSTANT, rank=4, gamma=0.0)),
    "closed form, rank 4, gamma 0.5": ("instant", replace(INSTANT, rank=4, gamma=0.5)),
    "closed form, rank 4, gamma 1": ("instant", replace(INSTANT, rank=4, gamma=1.0)),
    "fast, rank 1, gamma 0": ("fast", Settings(rank=1, gamma=0.0)),
    "fast, rank 1, gamma 0.5": ("fast", Settings(rank=1, gamma=0.5)),
    "fast, rank 1, gamma 1": ("fast", Settings(rank=1, gamma=1.0)),
    "fast, rank 1, gamma 2": ("fast", Settings(rank=1, gamma=2.0)),
    "fast, rank 4, gamma 0.5": ("fast", Settings(rank=4, gamma=0.5)),
    "closed form, rank 1, gamma 0.5": ("instant", replace(INSTANT, rank=1, gamma=0.5)),
    "closed form, rank 16, gamma 0.5": ("instant", replace(INSTANT, rank=16, gamma=0.5)),
    "discriminant, rank 1": ("fast", Settings(down="discriminant", rank=1)),
    "random, rank 1, lr 3e-3": ("fast", Settings(down="random", scale=8.0, rank=1, learning_rate=3e-3, iterations=150)),
}


def main() -> None:
    """Print and keep a table: eraser x strength, without any gate."""
    options = common.options(__doc__ or "", strengths="1,2")
    pipe = common.pipeline(options.checkpoint)
    denoiser, table = denoiser_for(pipe), []
    for name in options.concepts:
        sets = prompt_sets(name)
        base = {group: common.share(pipe, *prompts) for group, prompts in sets.items()}
        print(name, "base", base, flush=True)
        for label, (mode, settings) in ERASERS.items():
            started = time.perf_counter()
            adapter = erase(denoiser, Concept(name), demo_bank(), mode, settings)  # type: ignore[arg-type]
            seconds = time.perf_counter() - started
            for strength in map(float, options.strengths.split(",")):
                eraser = Eraser(adapter, strength, "on")
                row = {"concept": name, "eraser": label, "strength": strength, "seconds": round(seconds, 1)}
                row |= {"training": adapter.evaluations["training"], "redirected": adapter.redirected}
                row |= {group: common.share(pipe, *prompts, [eraser]) for group, prompts in sets.items()}
                row["instead"] = common.instead(pipe, sets["target"][0], [eraser])
                table.append(row)
                print(row, flush=True)
    common.write(options.out, "directions", table)


def prompt_sets(name: str) -> dict[str, tuple[list[str], list[str]]]:
    """Target, synonyms and all other objects: prompts with what should be on the pictures."""
    target = [pattern.format(name) for pattern in HELD_OUT]
    synonyms = [pattern.format(word) for word in CLASSES[name] for pattern in HELD_OUT[:8]]
    others = [thing for thing in THINGS if thing != name for _ in range(2)]
    texts = [HELD_OUT[i % 2].format(thing) for i, thing in enumerate(others)]
    return {
        "target": (target, [name] * len(target)),
        "synonyms": (synonyms, [name] * len(synonyms)),
        "others": (texts, others),
    }


if __name__ == "__main__":
    main()
