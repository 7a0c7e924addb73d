"""How hard does the model react to words, known and unknown? `python -m benchmarks.reactions`.

The reaction of every object, of styles, attributes and replacements that the demo model draws, of words that it never
learnt, and of a concept that an eraser has taken out already.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from benchmarks import common
from lora_unlearn import Adapter, Concept, denoiser_for, erase, load_bank
from lora_unlearn.bank import without_concept
from lora_unlearn.demo.words import STYLES, THINGS
from lora_unlearn.denoiser import Denoiser
from lora_unlearn.reaction import reaction
from lora_unlearn.training.prompts import encode
from lora_unlearn.training.states import record

KNOWN = [
    *map(Concept, THINGS),
    *(Concept(f"{style} style") for style in STYLES),
    Concept("red", of="apple"),
    Concept("cat", replace_with="dog"),
    Concept("cat", replace_with="tiger"),
    Concept("horse", replace_with="deer"),
]
UNKNOWN = [
    *map(Concept, ("xyzzy", "blorf", "castle", "quixotic", "dragon", "night", "watercolor", "nudity")),
    *(Concept(f"{style} style") for style in ("Van Gogh", "pencil sketch", "xyzzy")),
    Concept("xyzzy", of="cat"),
    Concept("castle", replace_with="horse"),
]
GONE = {"redirected by training": replace(common.SHORT, objective="redirect"), "pushed away by training": common.SHORT}
COUNT = 8


def main() -> None:
    """Print and keep a table: kind x concept."""
    options = common.options(__doc__ or "")
    denoiser, table = denoiser_for(common.pipeline(options.checkpoint)), []
    for kind, concepts in (("known", KNOWN), ("unknown", UNKNOWN)):
        table += [{"kind": kind, "concept": label(each), "reaction": measured(denoiser, each)} for each in concepts]
    for kind, settings in GONE.items():
        adapter = erase(denoiser, Concept("cat"), load_bank("demo"), settings=settings)
        with merged(denoiser, adapter):
            table += [{"kind": kind, "concept": n, "reaction": measured(denoiser, Concept(n))} for n in ("cat", "dog")]
    table += [{"kind": "redirected, closed form", "concept": "cat", "reaction": closed_form(denoiser)}]
    common.finish(options.out, "reactions", table)


def measured(denoiser: Denoiser, concept: Concept) -> float:
    """The reaction as a training would find it."""
    prompts = encode(denoiser, concept, without_concept(load_bank("demo"), concept)[0::2])
    generator = torch.Generator().manual_seed(0)
    states = record(
        denoiser, prompts.target, prompts.reference, prompts.empty, COUNT, 1, 4.0, generator, prompts.shared_reference
    )
    return round(min(reaction(denoiser, prompts.keep, states, COUNT)), 3)


def closed_form(denoiser: Denoiser) -> float:
    """What is left of a cat after the closed form without repulsion, on keys and values."""
    settings = replace(common.CLOSED_FORM, gamma=0.0, selector="cross_kv", rank=8)
    with merged(denoiser, erase(denoiser, Concept("cat"), load_bank("demo"), "instant", settings)):
        return measured(denoiser, Concept("cat"))


@contextmanager
def merged(denoiser: Denoiser, adapter: Adapter) -> Iterator[None]:
    """The model with the plain LoRA on in every row."""
    lora, targets = adapter.lora, denoiser.linears(adapter.settings.selector)
    with lora.attached(targets), lora.rows(torch.ones(COUNT)):
        yield


def label(concept: Concept) -> str:
    """A concept with what goes with it."""
    further = f" of {concept.of}" if concept.of else f" -> {concept.replace_with}" if concept.replace_with else ""
    return concept.name + further


if __name__ == "__main__":
    main()
