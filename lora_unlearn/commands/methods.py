"""`lora-unlearn methods`: what there is to erase with, a line each, and every option of one of them."""

from __future__ import annotations

import argparse
import json
from importlib import resources
from typing import Any

from ..options import Option, chosen, options_of
from ..settings import Settings
from ..training.method import LISTS, PARTS, own_options
from ..training.methods import METHODS
from ..training.typed import TRAINED_ONLY
from .console import say


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.name:
        about(args.name)
    else:
        listed()
    return 0


def listed() -> None:
    """All methods with their figures on the demo model."""
    known = figures()
    for name, method in METHODS.items():
        say(f"{name:<17} {method.about} [{method.origin}]{told(known.get(name))}")
    if known:
        of = " and ".join(counted(known, noun) for noun in ("concepts", "seeds"))
        say(f"\nH (erased, kept, generalised: 1 is best) was measured on the demo model, over {of}.")
    say("lora-unlearn methods NAME tells a method's parts and numbers.")


def told(found: dict[str, Any] | None) -> str:
    """A method's figures, as the end of its line."""
    if found is None:
        return ""
    over = f", {found['concepts']} concepts" if found["concepts"] > 1 else ", 1 concept"
    return f": H {found['H']:.2f} always on, {found['H gated']:.2f} gated{over}, {found['evaluations']} evaluations"


def counted(known: dict[str, Any], noun: str) -> str:
    """Over how many concepts or seeds the figures are: "1 concept", "3 to 6 concepts"."""
    numbers = sorted({found[noun] for found in known.values()})
    spread = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    return f"{spread} {noun if spread != '1' else noun[:-1]}"


def figures() -> dict[str, Any]:
    """The last measured figures, as `benchmarks.methods --write` leaves them; none where there is no such file."""
    file = resources.files("lora_unlearn.training") / "figures.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found


def about(name: str) -> None:
    """One method: its parts, its numbers, and what --method-option may change.

    Raises:
        UnlearnError: if there is none of that name.
    """
    method = chosen("method", name, METHODS)
    settings = method.settings
    say(f"{name}: {method.about}\nfrom {method.origin}\n\nparts (--method-option {next(iter(PARTS))}=...)")
    useless = () if settings.trains else TRAINED_ONLY
    for kind, table in PARTS.items():
        if kind in useless:
            continue
        value = getattr(settings, kind)
        say(f"  {kind} = {','.join(value) if kind in LISTS else value}    of {', '.join(table)}")
    say("\nnumbers (--method-option rank=...)")
    for option in options_of(Settings).values():
        if option.name not in useless:
            say(f"  {line(option.name, getattr(settings, option.name), option)}")
    own = own_options(settings)
    if own:
        say(f"\nnumbers of its parts (--method-option {next(iter(own))}=...)")
    for key, option in own.items():
        say(f"  {line(key, settings.options.get(key, option.default), option)}")


def line(name: str, value: Any, option: Option) -> str:
    """An option in a line."""
    bounds = f", {option.low:g} to {option.most:g}" if option.low is not None and option.most is not None else ""
    return f"{name} = {value}    {option.help}{bounds}"
