"""`lora-unlearn evaluate --against`: two erasers of one concept, on the same prompts and seeds, side by side."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import UnlearnError
from ..evaluate.attacks.record import JSON
from ..evaluate.comparison import check_comparable, compare
from ..evaluate.protocols import PROTOCOLS, ask, measure, pictures
from ..report.compare import write_comparison
from ..strict import read_json
from ..written import Written, check_replaceable
from .bench import keeping, open_bench
from .console import bars, quiet, say
from .models import open_eraser, output_folder, split_strength
from .signals import INTERRUPTED


def run(args: argparse.Namespace, names: Sequence[str]) -> int:
    """Measure both erasers by the protocols that were named, and write their page."""
    check(args, names)
    attacks = [read_attacks(folder) for folder in args.attacks]
    folder = output_folder(args.out)
    check_replaceable(folder / "report.json", Written("report"), args.overwrite)
    check_replaceable(folder / "report.html", Written("page"), args.overwrite)
    with quiet(), bars() as shown:
        bench = open_bench(args, shown)
        bench.kept = keeping(args, bench, folder)
        benches = [bench, replace(bench, erasers=[open_eraser(args.against, bench.denoiser)])]
        check_comparable(*(each.eraser.adapter for each in benches))
        asked = ask(bench, names)
        drawn = sum(pictures(each, asked) for each in benches)
        if drawn:
            say(f"{drawn} pictures of {args.steps} steps at most are to be drawn and judged{bench.kept.said}.")
        found = [measure(bench, asked)]
        found.append(measure(benches[1], {name: asked[name] for name in found[0]}))
        rows, files = compare(*found), [split_strength(text)[0].name for text in (args.adapter[0], args.against)]
        write_comparison(benches, found, rows, attacks, files, folder)
    for line in lines(rows):
        say(line)
    say(f"report.html and report.json are in {folder}.")
    finished = all(name in each and not each[name].unfinished for each in found for name in names)
    if finished:
        bench.kept.clear()
    else:
        say("Interrupted: the report holds what both were measured by until then; the same command goes on.")
    return 0 if finished else INTERRUPTED


def check(args: argparse.Namespace, names: Sequence[str]) -> None:
    """Refuse what two erasers can't be compared by.

    Raises:
        UnlearnError: saying what to leave out.
    """
    several = [name for name in names if PROTOCOLS[name].several]
    if len(args.adapter) > 1 or Path(args.adapter[0]).is_dir():
        raise UnlearnError("--against compares one eraser with one other; name a single --adapter.")
    if several:
        raise UnlearnError(f"{several[0]} measures several erasers at once; leave it out, or leave --against out.")
    if args.layout:
        raise UnlearnError("--layout writes the pictures of one eraser; leave --against out.")
    if args.attacks and len(args.attacks) != 2:
        raise UnlearnError(f"--attacks needs two folders, for A and for B, got {len(args.attacks)}.")


def read_attacks(folder: str) -> list[dict[str, Any]]:
    """The summary of an attack.json.

    Raises:
        UnlearnError: if there is none that this program wrote.
    """
    path = Path(folder) / JSON
    try:
        found: list[dict[str, Any]] = read_json(path.read_text(encoding="utf-8"))["summary"]
        assert all({"count", "of", "low", "high"} <= set(row["through"]) and row["attack"] for row in found)
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise UnlearnError(
            f"{path} is no list of attacks; name a folder that lora-unlearn attack has written."
        ) from error
    return found


def lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The differences, for people."""
    return [
        f"{row['protocol']}, {row['figure']}: A {100 * row['first']:.1f} %, B {100 * row['second']:.1f} %, B - A "
        f"{100 * row['difference']:+.1f} ({' to '.join(f'{100 * bound:+.1f}' for bound in row['interval'])})"
        for row in rows
    ]
