"""Erasure in one joint stream: `python -m benchmarks.stream_erasure --concepts cat ship ... --modes instant,fast`.

For every concept and way on the stream relative (`benchmarks/stream`): what is left of the concept and of its other
names, what appears instead, what becomes of the other things, without a gate and behind it, and whether a closed gate
leaves pictures byte for byte. One JSON file a run lies in `--out`; what is there is not measured again. `--table` only
prints the table; `--sheet` draws the contact sheet, too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from benchmarks import common
from benchmarks.language_erasure import Look, identical, judged, shown, table
from benchmarks.stream.model import load_stream_relative
from benchmarks.stream.words import THINGS
from lora_unlearn import Adapter, Concept, Eraser, denoiser_for, erase, generate, load_bank
from lora_unlearn.calibrate import text_scores
from lora_unlearn.demo.bank import demo_bank
from lora_unlearn.demo.judge import load_judge
from lora_unlearn.erase import MODES, without_concept
from lora_unlearn.evaluate.prompts import CLASSES, HELD_OUT, TEMPLATE
from lora_unlearn.hosts.generate import Sampling
from lora_unlearn.remembered import RememberingDenoiser
from lora_unlearn.replacement import neighbours
from lora_unlearn.settings import Settings

FIVE = ("cat", "ship", "frog", "bird", "truck")
"""The concepts by default."""
SIZE = (128, 128)
SAMPLING = Sampling(steps=12, guidance_scale=4.0, size=SIZE, batch=16)
NAMES, OTHERS, PAIRS = 2, 1, 4
"""Sentences for each other name of the concept and for each other thing, and how many things it stands beside."""
RANDOM = replace(MODES["fast"], down="random", learning_rate=1e-2)
WAYS: dict[str, Settings] = {
    "instant": MODES["instant"],
    "firm": MODES["firm"],
    "fast": MODES["fast"],
    "gentle": replace(MODES["fast"], learning_rate=1e-2),
    "retaining": replace(MODES["fast"], terms=("goal", "retain")),
    "refiner keys and values": replace(RANDOM, selector="cross_kv"),
    "refiner values": RANDOM,
    "entry random": replace(RANDOM, selector="context"),
}
"""Instant, firm and fast mode as they are, on the layer that reads the encoder's states, and trainings elsewhere."""
FIGURES = (
    "target left",
    "names left",
    "others kept, always on",
    "H, always on",
    "confidence",
    "pairs left",
    "partner",
    "gate: target",
    "gate: names",
    "gate: others",
    "bank, gate opens",
    "H",
    "closed and identical",
)


def main() -> None:
    """Measure what is missing, then print the table."""
    options = common.options(__doc__ or "", modes="instant,fast", seeds=1, pictures=6, table=False, sheet=False)
    concepts = FIVE if options.concepts == ["cat", "ship"] else options.concepts
    folder = options.out / "stream_erasure"
    folder.mkdir(parents=True, exist_ok=True)
    if not options.table:
        measure_all(folder, concepts, options)
    if options.sheet:
        contact_sheet(concepts, options.modes.split(",")[0]).save(folder / "sheet.png")
    print(common.markdown(table(folder, FIGURES)))


@torch.no_grad()
def measure_all(folder: Path, concepts: Sequence[str], options: Any) -> None:
    """One file for every concept, way and seed."""
    pipe, judge = load_stream_relative(), load_judge()
    reader = RememberingDenoiser(denoiser_for(pipe, SIZE))
    for seed in range(options.seeds):
        for name in concepts:
            ways = options.modes.split(",")
            paths = {way: folder / f"{way.replace(' ', '-')}-{name}-{seed}.json" for way in ways}
            missing = [way for way, path in paths.items() if not path.is_file()]
            groups = prompts_of(name, options.pictures)
            plain = shown(pipe, judge, flat(groups), seed, (), sampling=SAMPLING) if missing else []
            for way in missing:
                found = {"mode": way, "concept": name, "seed": seed}
                found |= measured(pipe, judge, eraser(reader, name, way, seed), groups, plain, reader)
                paths[way].write_text(json.dumps(found), encoding="utf-8")
                print(found, flush=True)


def measured(
    pipe: Any, judge: Any, adapter: Adapter, groups: dict[str, list[str]], plain: list[Look], reader: Any
) -> dict[str, Any]:
    """One eraser, always on and behind its gate, beside the pictures without it."""
    name, seed, prompts, others = (
        adapter.concept.name,
        adapter.settings.seed,
        flat(groups),
        others_of(adapter.concept.name),
    )
    erased = shown(pipe, judge, prompts, seed, [Eraser(adapter, 1.0, "on")], sampling=SAMPLING)
    opened = (text_scores(reader, adapter.gate, prompts) >= adapter.gate.threshold).tolist()
    every = iter(zip(plain, erased, opened, strict=True))
    looks = {group: [next(every) for _ in own] for group, own in groups.items()}
    same = identical(pipe, judge, prompts, seed, Eraser(adapter), opened, len(prompts) - len(others), SAMPLING)
    return {
        "instead of it": adapter.instead,
        "rank": adapter.lora.rank,
        "redirected": adapter.redirected,
        "partial": adapter.partial,
        "updates": adapter.iterations,
        "evaluations": adapter.evaluations["training"],
        **judged(looks, name, others),
        "base draws it": sum(look[0][0] == name for look in looks["target"]) / len(looks["target"]),
        "bank, gate opens": adapter.gate.judged_open / adapter.gate.judged,
        "closed and identical": same,
    }


@torch.enable_grad()
def eraser(reader: Any, name: str, way: str, seed: int) -> Adapter:
    """An eraser of a thing, made in one of the `WAYS`; what takes its place is sought among what the demo draws.

    Of the bank's other nouns the model draws next to none.
    """
    own = Concept(name)
    concept = replace(own, replace_with=neighbours(reader, own, without_concept(demo_bank(), own)).instead)
    mode = "instant" if WAYS[way].iterations == 0 else "fast"
    return erase(reader, concept, bank(), mode, replace(WAYS[way], seed=seed))


def bank() -> list[str]:
    """Sentences about what the demo draws, which the model knows in part, and those for every real model."""
    return [*demo_bank(), *load_bank("language")]


def others_of(name: str) -> list[str]:
    """The things that must stay, as often as each is asked for."""
    return [thing for thing in THINGS if thing != name for _ in range(OTHERS)]


def flat(groups: dict[str, list[str]]) -> list[str]:
    """The prompts of all groups."""
    return [prompt for group in groups.values() for prompt in group]


def prompts_of(name: str, pictures: int) -> dict[str, list[str]]:
    """All prompts of a concept in sentences that no training caption has, the other things last."""
    others = others_of(name)
    return {
        "target": [HELD_OUT[i % len(HELD_OUT)].format(name) for i in range(pictures)],
        "names": [HELD_OUT[i].format(word) for word in CLASSES[name] for i in range(NAMES)],
        "pairs": [f"a {name} and a {other}" for other in others[::2][:PAIRS]],
        "others": [HELD_OUT[i % OTHERS].format(thing) for i, thing in enumerate(others)],
    }


def contact_sheet(concepts: Sequence[str], way: str, columns: int = 4) -> Image.Image:
    """A row a concept: four pictures of it, one of another thing; without an eraser, then with it always on."""
    pipe = load_stream_relative()
    reader = RememberingDenoiser(denoiser_for(pipe, SIZE))
    sheet = Image.new("RGB", (2 * (columns + 1) * SIZE[1], len(concepts) * SIZE[0]), "white")
    for row, name in enumerate(concepts):
        adapter = eraser(reader, name, way, 0)
        other = next(thing for thing in CLASSES if thing not in (name, adapter.instead))
        prompts = [TEMPLATE.format(name)] * columns + [TEMPLATE.format(other)]
        for half, erasers in enumerate(([], [Eraser(adapter, 1.0, "on")])):
            pictures = generate(pipe, prompts, range(len(prompts)), SAMPLING, erasers)
            for column, picture in enumerate(pictures):
                place = half * (columns + 1) + column
                sheet.paste(picture.image, (place * SIZE[1], row * SIZE[0]))
    return sheet


if __name__ == "__main__":
    main()
