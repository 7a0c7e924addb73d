"""`lora-unlearn generate`: pictures as PNG files, and what happened to each in `generate.json`."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from typing import Any

from ..errors import UnlearnError
from ..files import write_image, write_text
from ..guidance import Eraser
from ..hosts.diffusers import denoiser_for
from ..hosts.generate import Picture, Sampling, generate
from .console import bars, quiet, say
from .models import check_size, open_eraser, open_model, output_folder
from .signals import INTERRUPTED

LARGEST_SEED = 2**63 - 1


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    sampling = Sampling(args.steps, args.guidance_scale, args.negative_prompt, args.size, args.sampler, args.batch)
    prompts = [prompt for prompt in args.prompt for _ in range(args.count)]
    seeds = [args.seed + i for _ in args.prompt for i in range(args.count)]
    if seeds[-1] > LARGEST_SEED:
        raise UnlearnError(f"--seed {args.seed} leaves no room for {args.count} pictures; use a smaller one.")
    folder = output_folder(args.out)
    entries: list[dict[str, Any]] = []
    code = 0
    try:
        with quiet():
            pipe = open_model(args)
            denoiser = denoiser_for(pipe)
            check_size(denoiser, sampling.size)
            erasers = [open_eraser(text, denoiser, args.gate) for text in args.adapter]
            active = [text for text, eraser in zip(args.adapter, erasers, strict=True) if eraser.strength != 0]
            for picture in draw(pipe, prompts, seeds, sampling, erasers):
                file = f"{len(entries):04d}.png"
                write_image(folder / file, picture.image)
                entries.append(describe(file, picture, active))
    except KeyboardInterrupt:
        code = INTERRUPTED
    finally:
        if entries:
            write_text(folder / "generate.json", summary(entries, args))
    say(f"{'Interrupted: ' if code else ''}{len(entries)} of {len(prompts)} pictures are in {folder}.")
    return code


def draw(
    pipe: Any, prompts: list[str], seeds: list[int], sampling: Sampling, erasers: list[Eraser]
) -> Iterator[Picture]:
    """The pictures, batch by batch, with a progress bar."""
    with bars() as shown:
        for start in range(0, len(prompts), sampling.batch):
            shown.show("drawing", start, len(prompts))
            chunk = slice(start, start + sampling.batch)
            yield from generate(pipe, prompts[chunk], seeds[chunk], sampling, erasers)
        shown.show("drawing", len(prompts), len(prompts))


def describe(file: str, picture: Picture, names: list[str]) -> dict[str, Any]:
    """One picture's entry in `generate.json`."""
    gates = [
        {
            "adapter": name, "open": decision.open, "score": finite(decision.score),
            "threshold": finite(decision.threshold), "by": decision.by,
        }
        for name, decision in zip(names, picture.decisions, strict=False)
    ]  # fmt: skip
    return {
        "file": file, "prompt": picture.prompt, "seed": picture.seed, "gates": gates,
        "evaluations": picture.evaluations, "seconds": round(picture.seconds, 3),
    }  # fmt: skip


def finite(value: float | None) -> float | None:
    """The value, or None for what JSON has no number for."""
    return value if value is not None and math.isfinite(value) else None


def summary(entries: list[dict[str, Any]], args: argparse.Namespace) -> str:
    """The text of `generate.json`: how the pictures were made, then the pictures."""
    names = ("checkpoint", "adapter", "negative_prompt", "steps", "guidance_scale", "sampler", "gate", "size")
    made = {name: getattr(args, name) for name in names}
    made["size"] = args.size and f"{args.size[1]}x{args.size[0]}"
    return json.dumps({**made, "pictures": entries}, indent=2, ensure_ascii=False) + "\n"
