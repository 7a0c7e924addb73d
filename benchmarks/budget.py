"""How short may a training be? `python -m benchmarks.budget --concepts cat truck frog horse`.

Erasers of growing cost, all with their gate: what is still drawn, and how varied and convincing is what appears
instead. The closed form erases as well as any training; variety is what evaluations buy.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from benchmarks import common
from lora_unlearn import Concept, Eraser, denoiser_for, erase, generate, load_bank
from lora_unlearn.demo.words import THINGS
from lora_unlearn.erase import MODES, Mode
from lora_unlearn.evaluate import CLASSES, DemoJudge
from lora_unlearn.evaluate.prompts import HELD_OUT
from lora_unlearn.settings import Settings

FAST = common.SHORT
SMALL = replace(FAST, trajectories=4, trajectory_steps=10)
ERASERS: dict[str, tuple[Mode, Settings]] = {
    "closed form": ("instant", common.CLOSED_FORM),
    "closed form, rank 3": ("instant", replace(common.CLOSED_FORM, rank=3)),
    "fast, rank 3": ("fast", replace(FAST, rank=3)),
    "4 x 10 states, 20 x 8, rate 2e-3": ("fast", replace(SMALL, iterations=20, batch=8, learning_rate=2e-3)),
    "4 x 10 states, 40 x 4, rate 2e-3": ("fast", replace(SMALL, iterations=40, learning_rate=2e-3)),
    "8 x 6 states, 30 x 4, rate 2e-3": ("fast", replace(FAST, learning_rate=2e-3)),
    "8 x 6 states, 30 x 4, rate 4e-3 (fast)": ("fast", FAST),
    "8 x 6 states, 30 x 4, rate 8e-3": ("fast", replace(FAST, learning_rate=8e-3)),
    "8 x 20 states, 60 x 16, rate 2e-3 (thorough)": ("fast", common.FORMER),
}
TODAY: dict[str, tuple[Mode, Settings]] = {"instant": ("instant", MODES["instant"]), "fast": ("fast", MODES["fast"])}
"""Today's defaults, alone with `--today`."""
PICTURES = 24


def main() -> None:
    """Print and keep a table: concept x eraser."""
    options = common.options(__doc__ or "", today=False)
    pipe, judge, table = common.pipeline(options.checkpoint), DemoJudge(), []
    for name in options.concepts:
        for label, (mode, settings) in (TODAY if options.today else ERASERS | TODAY).items():
            started = time.perf_counter()
            adapter = erase(denoiser_for(pipe), Concept(name), load_bank("demo"), mode, settings)
            seconds = round(time.perf_counter() - started, 1)
            row = {"concept": name, "eraser": label, "evaluations": adapter.evaluations["training"], "seconds": seconds}
            table.append(row | looks(pipe, judge, name, Eraser(adapter)))
            print(table[-1], flush=True)
    common.finish(options.out, "budget", table)


def looks(pipe: Any, judge: DemoJudge, name: str, eraser: Eraser) -> dict[str, Any]:
    """Shares still drawn of the target, its synonyms and pairs; of the target also variety and confidence."""
    groups = {
        "target": [f"a photo of a {name}"] * PICTURES,
        "synonyms": [pattern.format(word) for word in CLASSES[name] for pattern in HELD_OUT[:8]],
        "pairs": [f"a {name} and a {other}" for other in THINGS if other != name][::2],
    }
    found: dict[str, Any] = {}
    for group, prompts in groups.items():
        images = [p.image for p in generate(pipe, prompts, range(len(prompts)), common.QUICK, [eraser])]
        verdict = judge.verdict(images).probabilities
        labels = [judge.labels[i] for i in verdict.argmax(1).tolist()]
        found[group] = labels.count(name) / len(labels)
        if group == "target":
            looks = {"variety": variety(labels), "confidence": float(verdict.max(1).values.mean())}
    return found | looks


def variety(labels: Sequence[str]) -> float:
    """How many different things, as the exponential of the labels' entropy."""
    shares = [count / len(labels) for count in Counter(labels).values()]
    return math.exp(-sum(share * math.log(share) for share in shares))


if __name__ == "__main__":
    main()
