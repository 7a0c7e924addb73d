"""`lora-unlearn strength`: how strong an eraser has to be on a model."""

from __future__ import annotations

import argparse

from ..adapter import Adapter
from ..bank import load_bank, without_concept
from ..guidance import Eraser
from ..hosts.diffusers import denoiser_for
from ..hosts.sampling import check_family
from ..strength import MOST, needed
from .console import quiet, say
from .models import open_model


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    adapter = Adapter.load(args.adapter)
    with quiet():
        denoiser = denoiser_for(open_model(args))
        check_family(Eraser(adapter), denoiser.family)
        found = needed(denoiser, adapter, without_concept(load_bank(denoiser.family), adapter.concept))
    name = adapter.concept.name
    if found < MOST:
        say(f"Strength {found:.2g} is enough for {name!r}: there it has become what takes its place.")
    else:
        say(f"Not even strength {MOST:g} takes {name!r} all the way to what takes its place; train it for longer.")
    return 0
