"""What the slider does: `python -m benchmarks.strengths --concepts cat ship frog`.

For each mode and strength, the share of pictures of the concept on which the judge still sees it, gate open.
"""

from __future__ import annotations

from typing import Any

import torch

from benchmarks import common
from lora_unlearn import Concept, Eraser, Sampling, denoiser_for, erase, generate, load_bank
from lora_unlearn.demo.checkpoint import load_demo
from lora_unlearn.erase import MODES
from lora_unlearn.evaluate import DemoJudge

STRENGTHS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
SAMPLING = Sampling(steps=20, guidance_scale=5.0, batch=16)


def main() -> None:
    """A row for each mode and concept."""
    options = common.options(__doc__ or "", modes="fast,instant", pictures=16)
    pipe, judge, rows = load_demo(), DemoJudge(), []
    for mode in options.modes.split(","):
        for name in options.concepts:
            with torch.enable_grad():
                adapter = erase(denoiser_for(pipe), Concept(name), load_bank("demo"), mode, MODES[mode])
            row: dict[str, Any] = {"mode": mode, "concept": name}
            for strength in STRENGTHS:
                erasers = [Eraser(adapter, strength, "on")]
                prompts = [f"a photo of a {name}"] * options.pictures
                pictures = generate(pipe, prompts, list(range(options.pictures)), SAMPLING, erasers)
                best = judge.verdict([picture.image for picture in pictures]).probabilities.argmax(dim=1)
                row[f"{strength:g}"] = sum(judge.labels[i] == name for i in best.tolist()) / len(pictures)
            print(row, flush=True)
            rows.append(row)
    common.finish(options.out, "strengths", rows)


if __name__ == "__main__":
    main()
