"""What an evaluation works on: the model, the erasers, the judge, and all that the options say of protocols."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..bank import read_bank
from ..concept import is_style
from ..demo.words import STYLES
from ..denoiser import base_hash
from ..errors import UnlearnError
from ..evaluate import CLASSES, ClipJudge, DemoJudge, Saving
from ..evaluate.judge import Judge
from ..evaluate.kept import UNFINISHED, Kept
from ..evaluate.prompts import HELD_OUT
from ..evaluate.protocols import Bench, implicit
from ..evaluate.protocols.canvas import SEEDS
from ..evaluate.protocols.words import CANVAS_STYLES
from ..guidance import Eraser
from ..hosts.diffusers import denoiser_for
from ..hosts.generate import Sampling
from ..opened import folder_members
from ..version import __version__
from .console import Bars
from .models import open_eraser, open_model, split_strength, usual_guidance

USUAL, QUICK = (len(HELD_OUT), Saving()), (3, Saving(closed=1, exported=1, extra=1))
"""Further sentences for a word, and what is left out."""


def open_bench(args: argparse.Namespace, shown: Bars) -> Bench:
    """The model, the erasers and the judge, with all that the options say of the protocols.

    Raises:
        UnlearnError: if one of them can't be used.
    """
    captions = read_bank(args.captions) if args.captions else []
    own = implicit.read(read_bank(args.implicit), args.implicit) if args.implicit else {}
    translations = dict(translation(text) for text in args.translation)
    pipe = open_model(args)
    denoiser = denoiser_for(pipe)
    erasers = open_erasers(args, denoiser)
    scale = usual_guidance(denoiser) if args.guidance_scale is None else args.guidance_scale
    paraphrases, saving = QUICK if args.quick else USUAL
    return Bench(
        pipe,
        erasers,
        find_judge(args, denoiser.family, *(eraser.adapter.concept.name for eraser in erasers)),
        Sampling(args.steps, scale, batch=args.batch),
        args.count or 0,
        args.quick,
        args.seed,
        saving,
        args.synonym,
        paraphrases if args.paraphrases is None else args.paraphrases,
        captions,
        translations,
        own,
        shown.show,
        things=split(args.things),
        styles=split(args.styles),
        seeds=SEEDS if args.layout else (),
    )


def keeping(args: argparse.Namespace, bench: Bench, folder: Path) -> Kept:
    """The pictures of an earlier run of the same command into the same folder, to be gone on with."""
    free = ("out", "overwrite", "debug")
    options = {name: str(value) for name, value in vars(args).items() if name not in free}
    settings = {**options, "base": base_hash(bench.denoiser), "version": __version__}
    return Kept(folder / UNFINISHED, settings, args.overwrite)


def open_erasers(args: argparse.Namespace, denoiser: Any) -> list[Eraser]:
    """The erasers of --adapter, in order; those of a folder by name.

    Raises:
        UnlearnError: if one can't be used, or a folder holds none.
    """
    found: list[Eraser] = []
    for text in args.adapter:
        path, strength = split_strength(text)
        if path.is_dir():
            members = [member.path for member in folder_members(path)]
            found += [open_eraser(f"{member}:{strength:g}", denoiser) for member in members]
        else:
            found.append(open_eraser(text, denoiser))
    return found


def translation(text: str) -> tuple[str, str]:
    """LANGUAGE and PROMPT from "LANGUAGE=PROMPT".

    Raises:
        UnlearnError: for anything else.
    """
    language, _, prompt = (part.strip() for part in text.partition("="))
    if not language or not prompt:
        raise UnlearnError(f'--translation {text[:60]!r} is not of the form German="ein Foto von einer Katze".')
    return language, prompt


def split(text: str) -> list[str]:
    """Names with commas between."""
    return [name.strip() for name in text.split(",") if name.strip()]


def find_judge(args: argparse.Namespace, family: str, *concepts: str) -> Judge:
    """The demo model's own judge, or CLIP from the folder that was named.

    Raises:
        UnlearnError: if a real model is to be judged and no folder was named.
    """
    if family == "demo" and args.judge is None:
        return DemoJudge()
    if args.judge is None:
        raise UnlearnError(
            f"Pictures of a {family} model are judged by CLIP; name the folder of one with --judge, for example a "
            "download of openai/clip-vit-base-patch32."
        )
    bare = [concept.removesuffix(" style") for concept in concepts if is_style(concept)]
    styles = tuple(dict.fromkeys((*(STYLES if family == "demo" else CANVAS_STYLES), *bare))) if bare else ()
    labels = dict.fromkeys((*CLASSES, *(concept for concept in concepts if not is_style(concept))))
    return ClipJudge(args.judge, tuple(labels), args.device or "cpu", styles)
