"""`lora-unlearn merge`: several erasers as one ordinary LoRA."""

from __future__ import annotations

import argparse

from ..adapter import Adapter
from ..errors import UnlearnError
from ..files import write_safetensors
from ..formats import to_diffusers, to_stock
from ..join import concepts_of, joined
from ..written import Written, check_replaceable, marked
from .console import say
from .export import ADVICE
from .models import check_no_source, output_file


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    strengths = args.strength or [1.0] * len(args.files)
    if len(strengths) != len(args.files):
        raise UnlearnError(f"There are {len(args.files)} erasers and {len(strengths)} strengths; give one for each.")
    out = output_file(args.out)
    check_no_source(out, *args.files)
    adapters = [Adapter.load(file) for file in args.files]
    parts = list(zip(adapters, strengths, strict=True))
    lora, metadata = joined(parts, args.method, rank=args.rank, density=args.density, seed=args.seed)
    family = adapters[0].family
    wanted = Written("merged", concepts_of(adapters), family)
    check_replaceable(out, wanted, args.overwrite)
    if args.format == "diffusers":
        write_safetensors(out, to_diffusers(lora, family), marked({"format": "pt"}, wanted))
    else:
        write_safetensors(out, to_stock(lora, family), marked(metadata, wanted))
    say(f"{out} is written, rank {lora.rank}: {ADVICE[args.format]}.")
    return 0
