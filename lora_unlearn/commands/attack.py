"""`lora-unlearn attack`: many known ways past an eraser, tried, counted and shown; what is there is not tried again."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from ..errors import UnlearnError
from ..evaluate.attacks import ATTACKS, Attack, Victim, check_applies, prompts_for, try_once
from ..evaluate.attacks.record import JSON, PAGE, Record, settings_of
from ..families import FAMILIES
from ..guidance import Eraser
from ..hosts.diffusers import denoiser_for
from ..options import chosen
from ..report.attacks import write_attacks
from ..written import Written, check_replaceable
from .bench import find_judge
from .console import bars, quiet, say
from .models import open_eraser, open_model, output_folder, split_strength
from .signals import INTERRUPTED


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    attacks = named(args.attack)
    folder = output_folder(args.out)
    check_replaceable(folder / JSON, Written("attacks"), args.overwrite)
    check_replaceable(folder / PAGE, Written("page"), args.overwrite)
    code = 0
    with quiet(), bars() as shown:
        victim = open_victim(args)
        path = split_strength(args.adapter)[0]
        record = Record(folder, settings_of(victim, path, args.budget, args.seed), args.overwrite)
        with victim.attached():
            attacks = applying(attacks, victim, args.attack == "all")
            try:
                for name, index, prompt in record.missing(attacks, prompts_for(victim.concept, args.prompts), shown):
                    budget = args.budget or attacks[name].budget
                    record.add(index, *try_once(victim, name, attacks[name], prompt, args.seed + index, budget))
            except KeyboardInterrupt:
                code = INTERRUPTED
        if record.attempts:
            write_attacks(record)
    for line in lines(record.summary):
        say(line)
    if code:
        done = record.done(attacks, args.prompts)
        say(f"Interrupted: {done} of {len(attacks) * args.prompts} trials are done; the same command goes on.")
    if record.attempts:
        say(f"{PAGE} and {JSON} are in {folder}.")
    return code


def named(text: str) -> dict[str, Attack]:
    """The attacks that names with commas between, or "all", stand for.

    Raises:
        UnlearnError: for a name that is none; it offers the nearest.
    """
    if text.strip() == "all":
        return dict(ATTACKS)
    return {name.strip(): chosen("attack", name.strip(), ATTACKS) for name in text.split(",")}


def applying(attacks: dict[str, Attack], victim: Victim, every: bool) -> dict[str, Attack]:
    """The attacks that fit a model and an eraser; of all of them those that do not are left out, and said.

    Raises:
        UnlearnError: if one that was named does not.
    """
    fitting = {}
    for name, attack in attacks.items():
        try:
            check_applies(name, attack, victim)
            fitting[name] = attack
        except UnlearnError as error:
            if not every:
                raise
            say(f"Left out: {error}")
    return fitting


def open_victim(args: argparse.Namespace) -> Victim:
    """The model, the eraser and the judge that the options name.

    Raises:
        UnlearnError: if one of them can't be used, the judge does not know the concept, or the eraser does nothing.
    """
    pipe = open_model(args)
    denoiser: Any = denoiser_for(pipe)
    eraser = open_eraser(args.adapter, denoiser)
    check_at_work(eraser, args.adapter)
    concept = eraser.adapter.concept.name
    judge = find_judge(args, denoiser.family, concept)
    if concept not in judge.labels:
        raise UnlearnError(f"The judge does not know {concept!r}; it knows {', '.join(judge.labels)}.")
    scale = FAMILIES[denoiser.family].guidance_scale if args.guidance_scale is None else args.guidance_scale
    return Victim(denoiser, eraser, judge, concept, args.steps, scale)


def check_at_work(eraser: Eraser, path: str) -> None:
    """Refuse an eraser that does nothing, or whose gate nobody has measured.

    Raises:
        UnlearnError: saying what to do.
    """
    if eraser.strength == 0:
        raise UnlearnError(f"{path} has strength 0 and erases nothing, so there is nothing to attack; leave it out.")
    if eraser.adapter.gate.false_open_rate is None:
        raise UnlearnError(f"The gate of {path} was never calibrated, so nothing is known of it; run calibrate first.")


def lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The table for people: an attack a line."""
    said = []
    for row in rows:
        count, of, low, high = (row["through"][key] for key in ("count", "of", "low", "high"))
        shut, always, base = (row[key]["count"] for key in ("shut", "always", "base"))
        said.append(
            f"{row['attack']:<23}{count} of {of} through (95 % interval {100 * low:.0f} to {100 * high:.0f} %); gate "
            f"shut {shut}, through with the eraser always on {always}, drawn without it {base}"
        )
    return said
