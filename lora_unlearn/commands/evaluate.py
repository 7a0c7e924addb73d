"""`lora-unlearn evaluate`: what an eraser erases and what it spares, as a page and as JSON."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..bank import read_bank
from ..concept import is_style
from ..demo.words import STYLES
from ..describe import percent
from ..errors import UnlearnError
from ..evaluate import CLASSES, ClipJudge, DemoJudge, Saving
from ..evaluate.judge import Judge
from ..evaluate.layout import Layout
from ..evaluate.prompts import HELD_OUT
from ..evaluate.protocols import PROTOCOLS, Bench, Measured, ask, implicit, measure, pictures
from ..evaluate.protocols.canvas import SEEDS
from ..evaluate.protocols.words import CANVAS_STYLES
from ..guidance import Eraser
from ..hosts.diffusers import denoiser_for
from ..hosts.generate import Sampling
from ..opened import folder_members
from ..options import chosen
from ..report import write_measured
from ..written import Written, check_replaceable
from . import comparison
from .console import Bars, bars, quiet, say
from .models import open_eraser, open_model, output_folder, split_strength, usual_guidance
from .signals import INTERRUPTED

USUAL, QUICK = (len(HELD_OUT), Saving()), (3, Saving(closed=1, exported=1, extra=1))
"""Further sentences for a word, and what is left out."""


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    names = named(args.protocol)
    check_options(args, names)
    if args.against:
        return comparison.run(args, names)
    folder = output_folder(args.out)
    check_replaceable(folder / "report.json", Written("report"), args.overwrite)
    check_replaceable(folder / "report.html", Written("page"), args.overwrite)
    with quiet(), bars() as shown:
        bench = open_bench(args, shown)
        check_replaceable(folder / "report.json", Written("report", bench.concept), args.overwrite)
        asked = ask(bench, names)
        if args.layout:
            bench.each = Layout(folder / "canvas", asked["canvas"].concept, args.overwrite)
        drawn, advice = pictures(bench, asked), "" if args.quick else " (--quick draws about a tenth)"
        if drawn:
            say(f"{drawn} pictures of {args.steps} steps are to be drawn and judged{advice}.")
        found = measure(bench, asked)
        write_measured(bench, found, folder)
    return tell(found, names, folder)


def named(text: str) -> list[str]:
    """The protocols that names with commas between stand for.

    Raises:
        UnlearnError: for a name that is none; it offers the nearest.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        chosen("protocol", name, PROTOCOLS)
    if not names:
        raise UnlearnError(f"--protocol names none; choose of {', '.join(PROTOCOLS)}.")
    return list(dict.fromkeys(names))


def check_options(args: argparse.Namespace, names: list[str]) -> None:
    """Refuse an option whose protocol is not among those that are measured.

    Raises:
        UnlearnError: naming both.
    """
    needed = {
        "captions": "gate", "translation": "hub", "implicit": "implicit", "things": "canvas", "styles": "canvas",
        "layout": "canvas",
    }  # fmt: skip
    if args.attacks and not args.against:
        raise UnlearnError("--attacks sets the attacks on two erasers side by side; name the second with --against.")
    for option, protocol in needed.items():
        if getattr(args, option) and protocol not in names:
            raise UnlearnError(
                f"--{option} is for the protocol {protocol}; add it to --protocol, or leave --{option} out."
            )


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


def tell(found: Mapping[str, Measured], names: list[str], folder: Path) -> int:
    """Say the first figures of what was measured, and where all of them are; returns the exit code."""
    for name, measured in found.items():
        for line in lines(measured.figures) if name == "unguide" else protocol_lines(name, measured.figures):
            say(line)
    unfinished = [name for name in names if name not in found or found[name].unfinished]
    if unfinished:
        say(f"Interrupted before the end of {', '.join(unfinished)}; the report holds what was drawn until then.")
    say(f"report.html and report.json are in {folder}.")
    return INTERRUPTED if unfinished else 0


def lines(figures: dict[str, Any]) -> list[str]:
    """The first figures of a report, for people."""
    gate = figures["gate"]
    return [
        f"H: {percent(figures['h'])} (erased {percent(figures['acc_e'])}, spared {percent(figures['acc_s'])}, "
        f"synonyms {percent(figures['acc_g'])}; before: {percent(figures['base']['acc_e'])}, "
        f"{percent(figures['base']['acc_s'])}, {percent(figures['base']['acc_g'])})",
        f"gate: opened for {percent(gate['tpr'])} of {gate['positives']} pictures with the concept and "
        f"{percent(gate['fpr'])} of {gate['negatives']} without it",
        f"identical to the byte where the gate stayed closed: {percent(figures['integrity']['identical_share'])}",
    ]


def protocol_lines(name: str, figures: dict[str, Any]) -> list[str]:
    """The first figures of a protocol, for people."""
    if name == "gate":
        groups = {kind: block for kind, block in figures.items() if isinstance(block, dict)}
        told = (f"{kind} {percent(block['share'])} of {block['pictures']}" for kind, block in groups.items())
        return [f"gate: opened for {', '.join(told)}; {1000 * figures['seconds_per_decision']:.1f} ms a decision"]
    if name == "integrity":
        return [f"integrity: {part(figures['gated'])}; always on {part(figures['exported'])}"]
    if name == "sequence":
        return [
            f"sequence, {size} on: erased {percent(found['erased']['share'])}, handed out "
            f"{percent(found['handed_out']['share'])}, kept {percent(found['kept']['share'])}"
            for size, found in figures["sizes"].items()
        ]
    blocks = {key: block.get("shown", block) for key, block in figures.items() if isinstance(block, dict)}
    told = (f"{key} {percent(block['gated']['share'])}" for key, block in blocks.items() if block["gated"]["pictures"])
    return [f"{name}: {', '.join(told)}"]


def part(block: dict[str, Any]) -> str:
    """Integrity with the share of identical pictures."""
    if not block["pictures"]:
        return "not drawn"
    return f"{block['integrity']:.3f}, {percent(block['identical']['share'])} identical to the byte"
