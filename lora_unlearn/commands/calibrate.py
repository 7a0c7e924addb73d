"""`lora-unlearn calibrate`: measure an eraser's gate anew."""

from __future__ import annotations

import argparse

from ..adapter import Adapter
from ..bounds import FALSE_OPEN_RATE
from ..describe import gate_lines
from ..erase import recalibrated, usual_negatives
from ..guidance import Eraser
from ..hosts.diffusers import denoiser_for
from ..hosts.sampling import check_family
from ..written import check_replaceable, written_for
from .console import bars, quiet, say
from .models import check_no_source, open_model, output_file, read_own, read_prompts


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    adapter = Adapter.load(args.adapter)
    out = output_file(args.out or args.adapter)
    check_no_source(out, args.checkpoint)
    check_replaceable(out, written_for("eraser", adapter), args.overwrite)
    own = read_own(args.bank, adapter.concept)
    negatives = read_prompts(args.negatives) if args.negatives else usual_negatives(adapter.family, adapter.concept)
    rate = args.false_open_rate or adapter.gate.own_rate or FALSE_OPEN_RATE
    positives = read_prompts(args.positives) if args.positives else None
    with quiet(), bars() as shown:
        denoiser = denoiser_for(open_model(args))
        check_family(Eraser(adapter), denoiser.family)
        closed = [*negatives, *own]
        adapter = recalibrated(denoiser, adapter, closed, positives, rate, shown.of("calibrating"), args.look)
    adapter.save(out)
    for line in gate_lines(adapter):
        say(line)
    say(f"file: {out}")
    return 0
