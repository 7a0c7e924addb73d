"""`lora-unlearn demo`: an erasure on the model that ships with the package, to look at."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..adapter import Adapter
from ..concept import Concept
from ..demo.words import THINGS
from ..erase import usual_mode
from ..errors import UnlearnError
from ..evaluate import DemoJudge
from ..evaluate.prompts import HYPONYMS, NEIGHBOURS, TEMPLATE
from ..files import write_image, write_text
from ..guidance import Eraser
from ..hosts.diffusers import denoiser_for
from ..hosts.generate import Picture, Sampling, generate
from ..order import Order
from ..report import Card, demo_page, sheet
from ..training.methods import METHODS
from ..written import Written, check_replaceable
from .console import Bars, bars, quiet, say
from .erase import erase_to
from .models import open_model, output_folder
from .signals import INTERRUPTED

MODE = usual_mode(trains=False)
PROMPTS = 8
WRITES = {"eraser.safetensors": "eraser", "before.png": "picture", "after.png": "picture", "index.html": "page"}
STEPS, GUIDANCE_SCALE, BATCH = 25, 5.0, 16


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    concept = Concept(args.concept)
    thing = find_thing(concept.name)
    folder = output_folder(args.out)
    for name, kind in WRITES.items():
        about = concept.name if kind == "eraser" else ""
        check_replaceable(folder / name, Written(kind, about), args.overwrite)
    started = time.perf_counter()
    with quiet():
        args.checkpoint, args.device, args.dtype = "demo", "cpu", "float32"
        pipe = open_model(args)
        say(f"Erasing {concept.name!r} from the demo model ...")
        order = Order(concept, MODE, METHODS[MODE].settings)
        adapter = erase_to(folder / "eraser.safetensors", denoiser_for(pipe), order)
        if adapter is None:
            return INTERRUPTED
        made = time.perf_counter() - started
        with bars() as shown:
            seen = draw(pipe, adapter, thing, range(args.count), args.steps, shown)
    write(folder, adapter, seen, made)
    for line in [*measured(adapter, seen), f"That took {time.perf_counter() - started:.0f} s in all."]:
        say(line)
    say(f"Look at {(folder / 'index.html').resolve()}\n(or at before.png and after.png beside it).")
    return 0


def find_thing(name: str) -> str:
    """The object that a word of the demo model's captions stands for.

    Raises:
        UnlearnError: for a word that the model has never seen.
    """
    for thing, known in THINGS.items():
        if name.lower() in (thing, *(word.text for word in known.words)):
            return thing
    raise UnlearnError(f"The demo model can't draw {name!r}; choose one of {', '.join(THINGS)}.")


@dataclass
class Seen:
    """The demo's pictures: for each word the same seeds before and after, and whether they show the thing.

    Attributes:
        words: what was asked for, the concept's own words first: `own` of them.
        before, after: all pictures, word by word.
        showed, shows: the judge's opinion on the pictures of the concept's own words.
    """

    words: list[str]
    own: int
    count: int
    before: list[Picture]
    after: list[Picture]
    showed: int
    shows: int

    @property
    def asked(self) -> int:
        """The number of pictures that were asked for with the concept's own words."""
        return self.own * self.count

    @property
    def same(self) -> int:
        """How many of the others are the same to the byte."""
        pairs = zip(self.before[self.asked :], self.after[self.asked :], strict=True)
        return sum(one.image.tobytes() == other.image.tobytes() for one, other in pairs)


def words_for(name: str, thing: str) -> tuple[list[str], int]:
    """The concept, a synonym unknown to the training, what is most like it, other things; how many are its own."""
    own = [name, *[word.text for word in THINGS[thing].words if word.text != name][:1]]
    spared = [word for word in NEIGHBOURS.get(thing, ()) if word not in HYPONYMS.get(thing, ())]
    others = [word for word in reversed(THINGS) if word not in (thing, *spared, *HYPONYMS.get(thing, ()))]
    return [*own, *spared, *others][:PROMPTS], len(own)


def draw(pipe: Any, adapter: Adapter, thing: str, seeds: range, steps: int, shown: Bars) -> Seen:
    """Draw and judge."""
    words, own = words_for(adapter.concept.name, thing)
    prompts = [TEMPLATE.format(word) for word in words for _ in seeds]
    sampling = Sampling(steps, GUIDANCE_SCALE, batch=BATCH)
    order = [*seeds] * len(words)
    before = generate(pipe, prompts, order, sampling, report=shown.of("drawing before"))
    after = generate(pipe, prompts, order, sampling, [Eraser(adapter)], shown.of("drawing after"))
    judge, asked = DemoJudge(), own * len(seeds)
    found = [judge.verdict([picture.image for picture in pictures[:asked]]) for pictures in (before, after)]
    showed, shows = (int((seen.probabilities.argmax(1) == judge.labels.index(thing)).sum()) for seen in found)
    return Seen(words, own, len(seeds), before, after, showed, shows)


def write(folder: Path, adapter: Adapter, seen: Seen, made: float) -> None:
    """Write the sheets and the page."""
    rows = [slice(start, start + seen.count) for start in range(0, len(seen.before), seen.count)]
    images = {name: [picture.image for picture in getattr(seen, name)] for name in ("before", "after")}
    for name, found in images.items():
        labelled = [(word, found[row]) for word, row in zip(seen.words, rows, strict=True)]
        write_image(folder / f"{name}.png", sheet(labelled))
    cards = [
        Card(TEMPLATE.format(word), [(name, found[row]) for name, found in images.items()])
        for word, row in zip(seen.words, rows, strict=True)
    ]
    page = demo_page(
        adapter.concept.name, " ".join(measured(adapter, seen)[:2]), cards, facts(folder, seen, made),
        next_commands(folder, adapter.concept.name), scores(adapter, seen),
    )  # fmt: skip
    write_text(folder / "index.html", page)


def measured(adapter: Adapter, seen: Seen) -> list[str]:
    """What the demo found, in sentences."""
    name, others = adapter.concept.name, len(seen.before) - seen.asked
    opened = [bool(picture.decisions[0].open) for picture in seen.after]
    return [
        f"The judge sees the {name} on {seen.showed} of {seen.asked} pictures before and on {seen.shows} after.",
        f"Of {others} pictures of other things {seen.same} are the same to the byte.",
        f"The gate opened for {sum(opened[: seen.asked])} of {seen.asked} pictures with the concept and "
        f"{sum(opened[seen.asked :])} of {others} without it.",
    ]


def facts(folder: Path, seen: Seen, made: float) -> list[tuple[str, str]]:
    """The page's figures."""
    size = (folder / "eraser.safetensors").stat().st_size / 1000
    return [
        (f"{made:.0f} s", "loading, erasing and calibration on this machine"),
        (f"{seen.shows} of {seen.asked}", "pictures still show the concept, its synonym's included"),
        (f"{seen.same} of {len(seen.before) - seen.asked}", "pictures of other things are the same to the byte"),
        (f"{size:.0f} kB", "is the eraser's file"),
    ]


def scores(adapter: Adapter, seen: Seen) -> tuple[list[float], list[float], float | None]:
    """The scores that decided, with the concept and without it, and the gate's threshold."""
    found: tuple[list[float], list[float]] = [], []
    deciding = "text" if adapter.gate.statistic == "text" else "probe"
    for index, picture in enumerate(seen.after):
        decision = picture.decisions[0]
        if decision.by == deciding and decision.score is not None:
            found[index >= seen.asked].append(decision.score)
    return *found, adapter.gate.threshold


def next_commands(folder: Path, name: str) -> list[tuple[str, str]]:
    """What to try after the demo."""
    eraser = f'lora-unlearn {{}} --checkpoint demo --adapter "{folder / "eraser.safetensors"}"'
    return [
        ("Draw with the eraser:", f'{eraser.format("generate")} --prompt "a {name} and a tree" --out pictures'),
        ("Measure it:", f"{eraser.format('evaluate')} --out report"),
        (
            "Erase something from a model of yours:",
            'lora-unlearn erase --checkpoint model.safetensors --concept "..." --out eraser.safetensors',
        ),
    ]
