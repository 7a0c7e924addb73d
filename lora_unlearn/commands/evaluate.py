"""`lora-unlearn evaluate`: what an eraser erases and what it spares, as a page and as JSON."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..describe import percent
from ..errors import UnlearnError
from ..evaluate.layout import Layout
from ..evaluate.protocols import PROTOCOLS, Measured, ask, measure, pictures
from ..options import chosen
from ..report import write_measured
from ..written import Written, check_replaceable
from . import comparison
from .bench import keeping, open_bench
from .console import bars, quiet, say
from .models import output_folder
from .signals import INTERRUPTED


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
        bench.kept = keeping(args, bench, folder)
        if args.layout:
            bench.each = Layout(folder / "canvas", asked["canvas"].concept, args.overwrite or bench.kept.count > 0)
        drawn, advice = pictures(bench, asked), "" if args.quick else " (--quick draws about a tenth)"
        if drawn:
            say(f"{drawn} pictures of {args.steps} steps are to be drawn and judged{advice}{bench.kept.said}.")
        found = measure(bench, asked)
        write_measured(bench, found, folder)
    unfinished = [name for name in names if name not in found or found[name].unfinished]
    if not unfinished:
        bench.kept.clear()
    return tell(found, unfinished, folder)


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


def tell(found: Mapping[str, Measured], unfinished: list[str], folder: Path) -> int:
    """Say the first figures of what was measured, and where all of them are; returns the exit code."""
    for name, measured in found.items():
        for line in lines(measured.figures) if name == "unguide" else protocol_lines(name, measured.figures):
            say(line)
    if unfinished:
        say(
            f"Interrupted before the end of {', '.join(unfinished)}; the report holds what was drawn until then. The "
            "same command goes on."
        )
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
