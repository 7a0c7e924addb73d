"""`lora-unlearn try`: what an eraser's gate makes of prompts, before anything is drawn."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..adapter import Adapter
from ..errors import UnlearnError
from ..guidance import Eraser
from ..hosts.diffusers import denoiser_for
from ..hosts.sampling import check_family
from ..tried import Tried, try_prompt
from .console import quiet, say
from .models import note_tags, open_model


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    adapter = Adapter.load(args.adapter)
    if adapter.partial:
        raise UnlearnError(f"The training of {args.adapter} was not finished; go on with erase --resume first.")
    with quiet():
        denoiser = denoiser_for(open_model(args))
        check_family(Eraser(adapter), denoiser.family)
        found = [try_prompt(denoiser, adapter, prompt) for prompt in args.prompt]
    if args.json:
        say(json.dumps([plain(prompt, tried) for prompt, tried in zip(args.prompt, found, strict=True)], indent=2))
        return 0
    note_tags(args.prompt)
    for prompt, tried in zip(args.prompt, found, strict=True):
        say(f"{prompt}: {tried}")
    return 0


def plain(prompt: str, tried: Tried) -> dict[str, Any]:
    """A prompt that was tried, as plain values."""
    return {
        "prompt": prompt, "open": tried.open, "word": tried.word, "said": str(tried),
        "score": tried.score, "threshold": tried.threshold, "parts": tried.parts,
    }  # fmt: skip
