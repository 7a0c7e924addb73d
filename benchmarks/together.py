"""Ten erasers at once: `python -m benchmarks.together`, on the demo model.

All of them behind their gates, and joined into one ordinary LoRA that is always on: what is left of the classes, how
often an erased thing turns into another erased one, and what the other objects of the model lose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from benchmarks import common
from lora_unlearn import Concept, Eraser, denoiser_for, erase, generate, load_bank
from lora_unlearn.demo.words import THINGS
from lora_unlearn.erase import MODES
from lora_unlearn.evaluate import CLASSES, DemoJudge
from lora_unlearn.join import joined


def main() -> None:
    """A row for each mode and way of use."""
    options = common.options(__doc__ or "", modes="fast,instant", pictures=4)
    pipe, judge, rows = common.pipeline(options.checkpoint), DemoJudge(), []
    for mode in options.modes.split(","):
        with torch.enable_grad():
            adapters = [
                erase(denoiser_for(pipe), Concept(name, avoid=others(name)), load_bank("demo"), mode, MODES[mode])
                for name in CLASSES
            ]
        one = replace(adapters[0], lora=joined([(adapter, 1.0) for adapter in adapters])[0])
        ways = {"gated": [Eraser(adapter) for adapter in adapters], "joined": [Eraser(one, 1.0, "on")]}
        for way, erasers in ways.items():
            rows.append({"mode": mode, "way": way} | figures(pipe, judge, erasers, options.pictures))
            print(rows[-1], flush=True)
    common.finish(options.out, "together", rows)


def others(name: str) -> tuple[str, ...]:
    """What this concept must not turn into."""
    return tuple(one for one in CLASSES if one != name)


def figures(pipe: Any, judge: DemoJudge, erasers: Sequence[Eraser], pictures: int) -> dict[str, Any]:
    """Shares of pictures, by the judge's first label."""
    erased, others = list(CLASSES), [thing for thing in THINGS if thing not in CLASSES]
    found = {}
    for thing in (*erased, *others):
        drawn = generate(pipe, [f"a photo of the {thing}"] * pictures, range(pictures), common.QUICK, erasers)
        best = judge.verdict([picture.image for picture in drawn]).probabilities.argmax(1).tolist()
        found[thing] = [judge.labels[i] for i in best]
    gone = [(thing, label) for thing in erased for label in found[thing]]
    kept = [label == thing for thing in others for label in found[thing]]
    return {
        "left": sum(thing == label for thing, label in gone) / len(gone),
        "another erased": sum(label in CLASSES and label != thing for thing, label in gone) / len(gone),
        "others kept": sum(kept) / len(kept),
    }


if __name__ == "__main__":
    main()
