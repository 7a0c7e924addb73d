"""`lora-unlearn protocols`: what there is to measure an eraser by, a line each."""

from __future__ import annotations

import argparse

from ..evaluate.protocols import PROTOCOLS
from .console import say


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    for name, row in PROTOCOLS.items():
        say(f"{name:<11}{row.about} [{row.origin}]")
    say("\nlora-unlearn evaluate --protocol NAME,NAME measures by them.")
    return 0
