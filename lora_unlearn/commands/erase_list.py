"""`lora-unlearn erase --concepts FILE`: an eraser for every line, resumable, with a manifest of what became of each.

Several processes may work on one folder, see `list_work`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..adapter import Adapter
from ..claims import claimed
from ..errors import UnlearnError
from ..files import write_safetensors
from ..formats import to_stock
from ..hosts.diffusers import denoiser_for
from ..join import joined
from ..remembered import RememberingDenoiser
from ..written import Written, check_replaceable, marked
from .concept_list import LISTS, TEXTS, read_groups, read_list
from .console import quiet, say
from .erase import settings_for
from .launched import rank
from .list_work import Work
from .manifest import Manifest
from .models import check_size, open_model, output_folder
from .planning import plan
from .signals import INTERRUPTED

MANIFEST, TOGETHER = "erasers.json", "all.safetensors"


def run(args: argparse.Namespace) -> int:
    """Run the command for a list.

    Raises:
        UnlearnError: if the list or the folder can't be used; a line that can't is passed over, and told of.
    """
    begun = time.time()  # before the model is loaded, which takes one of several processes longer than another
    check_alone(args)
    settings = settings_for(args)
    concepts, problems = read_list(args.concepts)
    folder = output_folder(args.out)
    with quiet():
        pipe = open_model(args)
        size = (args.resolution,) * 2 if args.resolution else None
        denoiser: Any = RememberingDenoiser(denoiser_for(pipe, size))
        check_size(denoiser, size)
        settings = plan(denoiser, settings, may_change=args.batch is None)
        work = Work(
            args,
            settings,
            denoiser,
            folder,
            Manifest(folder / MANIFEST, read_groups(args.concepts)),
            concepts,
            problems,
            begun,
        )
        if not work.make_all():
            return INTERRUPTED
        with claimed(folder / ".together.claim", wait=True):
            if not work.bound_together():
                return INTERRUPTED
            if args.joint:
                join(folder, [work.out(concept) for concept in concepts])
    if rank() == 0:
        summarise(work)
    return 1 if problems else 0


def summarise(work: Work) -> None:
    """Tell what became of the list, once however many processes worked on it."""
    for problem in work.problems:
        say(f"not done: {problem}")
    done = len(work.manifest.done(work.concepts))
    say(f"{done} of {len(work.concepts)} erasers are in {work.folder}; {MANIFEST} there tells of each.")


def check_alone(args: argparse.Namespace) -> None:
    """Refuse what is said of one concept beside a list of many.

    Raises:
        UnlearnError: naming the option.
    """
    for name in (*LISTS, *TEXTS, "avoid"):
        if getattr(args, name):
            option = name.replace("_", "-")
            raise UnlearnError(f"--{option} is said of one concept; write it into the list, behind a tab: {option}=...")
    if args.resume:
        raise UnlearnError("A list goes on where it was left by itself; leave --resume out.")


def join(folder: Path, files: Sequence[Path]) -> None:
    """All erasers of the list as one ordinary LoRA.

    Raises:
        UnlearnError: if there are fewer than two, or the file can't be written.
    """
    parts = [(Adapter.load(file), 1.0) for file in files if file.exists()]
    lora, metadata = joined(parts)
    family = parts[0][0].family
    out, wanted = folder / TOGETHER, Written("merged", family=family)
    check_replaceable(out, wanted)
    write_safetensors(out, to_stock(lora, family), marked(metadata, wanted))
    say(f"{out} is written, rank {lora.rank}, without a gate.")
