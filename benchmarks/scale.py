"""A hundred erasers: what making them costs, and what they cost while pictures are drawn.

`python -m benchmarks.scale --part made --family sd1` (or another): seconds for lists of 1, 10 and 100 in instant mode,
on random weights of that model's shapes; reading prompts apart; the size of a file and the peak of memory.
`--part rivals`: UCE and SPEED there. `--part gates`: of asking 1, 10, 100 gates about a prompt. `--part sampling`:
drawing under closed erasers beside plain drawing, on the demo model. `--part swap`: putting an eraser on and off.
`--part family --sizes 10 50 100 --captions FILE`: how often any of so many gates opens for other people's captions, on
a real text encoder. Seconds are of processor time, on as many threads as OMP_NUM_THREADS says.
"""

from __future__ import annotations

import argparse
import copy
import resource
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import common
from benchmarks.encoders import TextOnly
from benchmarks.hundred import HUNDRED
from benchmarks.language import LEAST, grouped
from benchmarks.wide import SHAPES, Wide
from lora_unlearn import Eraser, denoiser_for, erase
from lora_unlearn.adapter import Adapter
from lora_unlearn.bank import Parts, load_bank
from lora_unlearn.calibrate import text_scores_of_each
from lora_unlearn.commands.list_work import GROUP
from lora_unlearn.concept import Concept
from lora_unlearn.erase import MODES, begin, finish
from lora_unlearn.gate import Gate, encode_direction, text_score_of_each
from lora_unlearn.hosts.sampling import erasing
from lora_unlearn.lora import Lora, new_lora
from lora_unlearn.moments import Totals
from lora_unlearn.order import Order
from lora_unlearn.promise import Promise
from lora_unlearn.remembered import RememberingDenoiser
from lora_unlearn.sentences import spread
from lora_unlearn.settings import Settings
from lora_unlearn.text_gate import text_gate
from lora_unlearn.together import TOGETHER_RATE, bounded_together
from lora_unlearn.training import method
from lora_unlearn.training.methods import METHODS
from lora_unlearn.training.prompts import EDIT_PROMPTS, encode
from lora_unlearn.training.train import scene_of

SIZES = (1, 10, 100)
LISTED = Promise(false_open_rate=TOGETHER_RATE)
"""What a list of erasers promises where nobody says otherwise."""


def main() -> None:
    """The parts that are asked for."""
    options = parse()
    for part in options.part:
        rows = PARTS[part](options)
        common.finish(options.out, f"scale_{part}_{options.family}", rows)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=sorted(PARTS), default=["made"])
    parser.add_argument("--family", choices=sorted(SHAPES), default="sd1")
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--repeats", type=int, default=21, help="pairs of drawings, for the part sampling")
    parser.add_argument("--captions", type=Path, help="one caption a line, for the part family")
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks"))
    return parser.parse_args()


def made(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Seconds of instant mode for lists of some sizes."""
    bank, rows = load_bank(options.family), []
    for size in options.sizes:
        inner = Wide(options.family)
        denoiser: Any = RememberingDenoiser(inner)
        concepts = [Concept(name, replace_with="thing") for name in list(HUNDRED)[:size]]
        started, adapters = time.process_time(), []
        spent: dict[str, float] = {}
        for start in range(0, size, GROUP):
            group = concepts[start : start + GROUP]
            orders = [Order(concept, "instant", MODES["instant"]) for concept in group]
            begun = timed(spent, "layers", inner, lambda: [begin(denoiser, own, bank) for own in orders])  # noqa: B023
            timed(spent, "gates", inner, lambda: finish(begun))  # noqa: B023
            adapters += [own.adapter for own in begun]
        if size > 1:
            timed(spent, "together", inner, lambda: bounded_together(denoiser, adapters, bank, LISTED))  # noqa: B023
        whole = time.process_time() - started
        found = {**spent, "all but reading": whole - inner.reading, "reading": inner.reading}
        found |= {"MB a file": saved(adapters[0]) / 1e6, "GiB at most": most_memory() / 2**30}
        rows.append({"erasers": size} | {name: round(figure, 2) for name, figure in found.items()})
        print(rows[-1], flush=True)
    return rows


def saved(adapter: Adapter) -> int:
    """Bytes of an eraser's file."""
    with tempfile.TemporaryDirectory() as folder:
        return adapter.save(Path(folder) / "eraser.safetensors").stat().st_size


def most_memory() -> int:
    """The most bytes of main memory that this process has had, as Linux counts them, its libraries included."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def timed(spent: dict[str, float], name: str, inner: Wide, work: Callable[[], Any]) -> Any:
    """Do some work, and note its seconds without those for reading."""
    started, reading = time.process_time(), inner.reading
    result = work()
    spent[name] = spent.get(name, 0.0) + time.process_time() - started - (inner.reading - reading)
    return result


def gates(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Milliseconds of asking gates about two prompts, as a run with classifier-free guidance does once."""
    width, rows = SHAPES[options.family].width, []
    prompt = Wide(options.family).encode(["a house by the sea", "two people on a bench"])
    for size in options.sizes:
        directions = torch.randn(size, width, generator=torch.Generator().manual_seed(0))
        asked = [Gate("text", 9.0, 0.0, encode_direction(own), 9.0, 9.0) for own in directions]
        rows.append({"gates": size, "ms": round(1000 * fastest(partial(text_score_of_each, prompt, asked)), 2)})
    return rows


def sampling(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Drawing on the demo model plain and under closed erasers, in turn: of each the quickest, and their ratio.

    "on and off" is what putting the erasers on the model costs beside it, once; "operations" is the ratio of torch's
    operations while drawing, which nothing else on the machine moves.
    """
    pipe, rows = common.pipeline(None), []
    pipe.set_progress_bar_config(disable=True)
    adapter = erase(denoiser_for(pipe), Concept("cat"), load_bank("demo"), "instant")
    for size in options.sizes:
        copies = [Eraser(replace(adapter, lora=Lora(dict(copy.deepcopy(adapter.lora).items())))) for _ in range(size)]
        took: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
        for turn in range(2 * options.repeats):
            under = turn % 4 in (1, 2)
            took[under].append(draw(pipe, copies if under else []))
        plain, closed = (min(drawn for drawn, _ in took[under]) for under in (False, True))
        beside = median(whole - drawn for drawn, whole in took[True])
        found = {"plain s": plain, "closed s": closed, "ratio": closed / plain, "on and off s": beside}
        found["operations"] = operations(pipe, copies) / operations(pipe, [])
        rows.append({"closed erasers": size} | {name: round(value, 4) for name, value in found.items()})
        print(rows[-1], flush=True)
    return rows


def draw(pipe: Any, erasers: Sequence[Eraser]) -> tuple[float, float]:
    """Seconds of drawing a picture under erasers, and of putting them on and off as well."""
    begun = time.process_time()
    with erasing(pipe, erasers):
        started = time.process_time()
        ask(pipe)
        drawn = time.process_time() - started
    return drawn, time.process_time() - begun


class Operations(TorchDispatchMode):
    """Counts what torch is asked to do."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """One more."""
        self.count += 1
        return func(*args, **(kwargs or {}))


def operations(pipe: Any, erasers: Sequence[Eraser]) -> int:
    """How many operations drawing a picture under erasers takes."""
    with erasing(pipe, erasers), Operations() as counted:
        ask(pipe)
    return counted.count


def ask(pipe: Any) -> None:
    """Draw a picture of something else."""
    generator = torch.Generator().manual_seed(0)
    pipe("a photo of a house", num_inference_steps=30, guidance_scale=5.0, generator=generator)


def swap(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Milliseconds of putting an eraser of rank 8 onto live layers and taking it off again."""
    targets = Wide(options.family).layers
    lora = new_lora(targets, 8, 1.0, torch.Generator().manual_seed(0))
    return [{"layers": len(targets), "ms": round(1000 * fastest(lambda: lora.attach(targets).detach()), 2)}]


def fastest(work: Callable[[], Any], repeats: int = 20) -> float:
    """The least seconds of processor time that some work took."""
    found = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return min(found)


def rivals(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Other closed forms on the same prompts, solved one by one: seconds for one concept, the first apart."""
    inner = Wide(options.family)
    denoiser: Any = RememberingDenoiser(inner)
    shape, rows = Parts.of(load_bank(options.family)).shape[:EDIT_PROMPTS], []
    for name in ("instant", "uce", "speed"):
        settings, seconds = METHODS[name].settings, []
        for concept in list(HUNDRED)[:4]:
            prompts = encode(denoiser, Concept(concept, replace_with="thing"), shape)
            started = time.process_time()
            method.Parts.of(settings).start(scene_of(denoiser, prompts, settings))
            seconds.append(time.process_time() - started)
        rows.append({"closed form": name, "first": round(seconds[0], 2), "further": round(min(seconds[1:]), 2)})
    return rows


class Reader(TextOnly):
    """A real text encoder that sums what all gates share once."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.totals = Totals()


def family(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Open rates of lists of 10, 50 and 100 gates, bounded each by itself and all together.

    "any": captions for which any gate opens whose concept the caption does not speak of, on the half of the captions
    that nothing was chosen on; "own word", "other words": how often a concept's own gate opens for all captions that
    speak of it, the mean over the concepts of which there are some.
    """
    denoiser, bank = Reader("minilm"), load_bank("sd1")
    captions = options.captions.read_text(encoding="utf-8").splitlines()
    lists = [spread(list(HUNDRED), size) for size in options.sizes]
    asked = dict.fromkeys(name for names in lists for name in names)
    adapters = {name: heard_alone(denoiser, Concept(name), bank) for name in asked}
    rows = []
    for names in lists:
        chosen = [adapters[name] for name in names]
        together = bounded_together(denoiser, chosen, bank, LISTED).gates
        for bound, found in (("each", [own.gate for own in chosen]), ("together", together)):
            opened = dict(zip(names, opens(denoiser, found, captions), strict=True))
            rows.append({"erasers": len(names), "bound": bound} | rates(opened, captions) | sentences_heard(found))
            print(rows[-1], flush=True)
    return rows


def heard_alone(denoiser: Any, concept: Concept, bank: Sequence[str]) -> Adapter:
    """An eraser that is nothing but its gate."""
    gate = text_gate(denoiser, concept, Parts.of(bank).without(concept))
    return Adapter(Lora({}), concept, Settings(), gate, "sd1", "")


def opens(denoiser: Any, gates: Sequence[Gate], captions: Sequence[str]) -> Tensor:
    """Which gates open for which captions, (gates, captions)."""
    scores = text_scores_of_each(denoiser, gates, captions)
    return scores >= torch.tensor([gate.threshold for gate in gates])[:, None]


def rates(opened: Mapping[str, Tensor], captions: Sequence[str]) -> dict[str, Any]:
    """How often any gate opens by mistake, in each half of the captions, and how often gates open as they should."""
    wrong = torch.zeros(len(captions), dtype=torch.bool)
    right: dict[str, list[float]] = {"own word": [], "other words": []}
    for name, own in opened.items():
        place = {caption: number for number, caption in enumerate(captions)}
        groups = grouped(name.lower(), captions, HUNDRED[name])
        without = [place[caption] for caption in groups["without"]]
        wrong[without] |= own[without]
        for group in right:
            rows = [place[caption] for caption in groups[group]]
            if len(rows) >= LEAST:
                right[group].append(float(own[rows].float().mean()))
    return {
        "any, chosen on": round(float(wrong[0::2].float().mean()), 4),
        "any, held out": round(float(wrong[1::2].float().mean()), 4),
        **{group: round(sum(found) / len(found), 3) if found else "" for group, found in right.items()},
    }


def sentences_heard(gates: Sequence[Gate]) -> dict[str, float]:
    """How often gates open for sentences with their concept that did not shape them."""
    return {"sentences": round(sum(gate.true_open_rate or 0 for gate in gates) / len(gates), 3)}


PARTS = {"made": made, "gates": gates, "sampling": sampling, "swap": swap, "rivals": rivals, "family": family}


if __name__ == "__main__":
    main()
