"""`lora-unlearn suggest`: which words the model reads like the concept's, before anything is erased."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict

from ..checks import check_words
from ..concept import Concept, notices
from ..files import write_text
from ..hosts.diffusers import denoiser_for
from ..suggest import Kind, Suggestion, suggest
from ..written import Written, check_replaceable
from .console import TOGETHER, bars, quiet, say
from .models import open_model, output_file

SENTENCES: dict[Kind, str] = {
    "inflection": "The model reads these as the same word, they go in by themselves",
    "near": "Nearly the same to this model; add with --also, or protect with --keep",
    "neighbour": "Neighbours that stay",
}


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    concept = Concept(args.concept, tuple(args.also), keep=tuple(args.keep))
    check_words(concept)
    out = output_file(args.json, ".json") if args.json else None
    if out is not None:
        check_replaceable(out, Written("words"), args.overwrite)
    with quiet(), bars() as shown:
        found = suggest(denoiser_for(open_model(args)), concept, args.count, shown.of("comparing words"))
    for line in [*notices(concept, TOGETHER), *lines(concept, found)]:
        say(line)
    if out is not None:
        write_text(out, json.dumps([asdict(suggestion) for suggestion in found], indent=2) + "\n")
        say(f"file: {out}")
    return 0


def lines(concept: Concept, found: Sequence[Suggestion]) -> list[str]:
    """One line for each kind that there is; or a line that says that there is none."""
    groups = {kind: [s.word for s in found if s.kind == kind] for kind in SENTENCES}
    said = [f"{SENTENCES[kind]}: {', '.join(words)}" for kind, words in groups.items() if words]
    return said or [f"The model has no word that it reads like {concept.name}."]
