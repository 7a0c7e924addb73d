"""`lora-unlearn generate`: pictures as PNG files, and what happened to each in `generate.json`."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import UnlearnError
from ..files import write_image, write_text
from ..guidance import Eraser
from ..hosts.diffusers import denoiser_for
from ..hosts.generate import Picture, Sampling, generate
from ..written import Written, check_replaceable
from .console import bars, quiet, say
from .models import check_size, note_tags, open_eraser, open_folder, open_model, output_folder, usual_guidance
from .signals import INTERRUPTED

LARGEST_SEED = 2**63 - 1
FILE = "{:04d}.png"


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    sampling = Sampling(args.steps, 1.0, args.negative_prompt, args.size, args.sampler, args.batch)
    total = len(args.prompt) * args.count
    wanted = ((prompt, args.seed + i) for prompt in args.prompt for i in range(args.count))
    if args.seed + args.count - 1 > LARGEST_SEED:
        raise UnlearnError(f"--seed {args.seed} leaves no room for {args.count} pictures; use a smaller one.")
    folder = output_folder(args.out)
    check_folder(folder, total, args.overwrite)
    note_tags([*args.prompt, args.negative_prompt])
    entries: list[dict[str, Any]] = []
    code = 0
    try:
        with quiet():
            pipe = open_model(args)
            denoiser = denoiser_for(pipe)
            check_size(denoiser, sampling.size)
            args.guidance_scale = usual_guidance(denoiser) if args.guidance_scale is None else args.guidance_scale
            sampling = replace(sampling, guidance_scale=args.guidance_scale)
            erasers, names = open_erasers(args, denoiser)
            active = [name for name, eraser in zip(names, erasers, strict=True) if eraser.strength != 0]
            for picture in draw(pipe, wanted, total, sampling, erasers):
                file = FILE.format(len(entries))
                write_image(folder / file, picture.image)
                entries.append(describe(file, picture, active))
    except KeyboardInterrupt:
        code = INTERRUPTED
    finally:
        if entries:
            write_text(folder / "generate.json", summary(entries, args))
    say(f"{'Interrupted: ' if code else ''}{len(entries)} of {total} pictures are in {folder}.")
    return code


def open_erasers(args: argparse.Namespace, denoiser: Any) -> tuple[list[Eraser], list[str]]:
    """The erasers of --adapter and of the folders of --erasers, and the files that they are from.

    Raises:
        UnlearnError: if a file, or everything in a folder, can't be used; or words choose where there is no folder.
    """
    if (args.only or args.without) and not args.erasers:
        raise UnlearnError("--only and --without choose from a folder; name one by --erasers.")
    erasers, names = [open_eraser(text, denoiser, args.gate) for text in args.adapter], list(args.adapter)
    for text in args.erasers:
        opened = open_folder(text, args, denoiser)
        erasers += opened.erasers
        names += [str(member.path) for member in opened.members]
    return erasers, names


def check_folder(folder: Path, total: int, overwrite: bool) -> None:
    """Refuse to draw over what is there and was not drawn by this program.

    Raises:
        UnlearnError: naming the first such file.
    """
    check_replaceable(folder / "generate.json", Written("pictures"), overwrite)
    for path in sorted(folder.glob("*.png")):
        if path.stem.isdecimal() and path.name == FILE.format(int(path.stem)) and int(path.stem) < total:
            check_replaceable(path, Written("picture"), overwrite)


def draw(
    pipe: Any, wanted: Iterator[tuple[str, int]], total: int, sampling: Sampling, erasers: list[Eraser]
) -> Iterator[Picture]:
    """The pictures of (prompt, seed), batch by batch, with a progress bar."""
    with bars() as shown:
        for start in range(0, total, sampling.batch):
            shown.show("drawing", start, total)
            prompts, seeds = map(list, zip(*islice(wanted, sampling.batch), strict=True))
            yield from generate(pipe, prompts, seeds, sampling, erasers)
        shown.show("drawing", total, total)


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
    names = (
        "checkpoint",
        "adapter",
        "erasers",
        "only",
        "without",
        "negative_prompt",
        "steps",
        "guidance_scale",
        "sampler",
        "gate",
        "size",
    )
    made = {name: getattr(args, name) for name in names}
    made["size"] = args.size and f"{args.size[1]}x{args.size[0]}"
    return json.dumps({**made, "pictures": entries}, indent=2, ensure_ascii=False) + "\n"
