"""Memory and time at the sizes of real models, with random weights: `python -m benchmarks.sizes --sizes sd1 sdxl`.

Times and memory do not depend on what the weights hold. Nothing is downloaded; what a model needs is about twice its
number of parameters in bytes (`benchmarks/real.py`). For each: instant mode, a training by *fast* as the interfaces
would plan it and its step, pictures plain and under erasers in turn, putting an eraser on and off, and with `--compile`
pictures of the compiled network. `--card 8` lets torch have no more than that many GiB, as a smaller card would.
`--tiny` takes the tests' small networks, to try the command.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks import common
from benchmarks.real import SIZES, new_pipeline
from lora_unlearn import Adapter, Concept, Eraser, UnlearnError, denoiser_for, erase, load_bank
from lora_unlearn.erase import MODES
from lora_unlearn.estimate import estimate, measure, planned
from lora_unlearn.families import FAMILIES
from lora_unlearn.hosts.sampling import erasing
from lora_unlearn.hosts.turns import crowded, take_turns
from lora_unlearn.lora import Lora
from lora_unlearn.settings import Settings, for_family

PROMPT, REPEATS, UPDATES, SMALL = "a house by the sea", 5, 6, 64
CONCEPT = Concept("cat", replace_with="dog")


def main() -> None:
    """A row of figures for each size."""
    options = parse()
    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if options.card and device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(options.card * 2**30 / torch.cuda.mem_get_info(device)[1])
    for size in options.sizes:
        row = measured(size, device, options)
        common.write(options.out, f"sizes-{size}", row)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=sorted(SIZES), default=["sd1"])
    parser.add_argument("--device", default="")
    parser.add_argument("--dtype", choices=("float16", "bfloat16", "float32"), help="default: half precision on a GPU")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--card", type=float, help="GiB that the graphics card is to have")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks"))
    return parser.parse_args()


def measured(size: str, device: torch.device, options: argparse.Namespace) -> dict[str, Any]:
    """All figures of one model; a part that fails says why, and the others go on."""
    half = torch.float16 if size in ("sd1", "sdxl") else torch.bfloat16
    dtype = getattr(torch, options.dtype) if options.dtype else half if device.type == "cuda" else torch.float32
    pipe = new_pipeline(size, device, dtype, options.tiny)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    row: dict[str, Any] = {"size": size, "device": name, "torch": torch.__version__, "dtype": str(dtype)}
    row["model MiB"] = allocated(device)
    if options.card and crowded(pipe, options.card * 2**30):
        take_turns(pipe.to("cpu"), device)  # as `load_pipeline` would have it
        row["in turns"] = True
    if device.type == "cuda":
        torch.cuda.empty_cache()
    for part, work in {
        "instant": lambda: instant(pipe, device),
        "fast": lambda: fast(pipe, device, options),
        "pictures": lambda: pictures(pipe, row["instant"]["adapter"], options, device),
    }.items():
        try:
            row[part] = {name: value for name, value in work().items() if name != "exactly"}
        except (UnlearnError, RuntimeError, KeyError) as error:  # memory that runs out is a RuntimeError
            row[part] = {"failed": f"{type(error).__name__}: {error}"[:400]}
        print(size, part, json.dumps({key: value for key, value in row[part].items() if key != "adapter"}), flush=True)
    adapter = row["instant"].pop("adapter", None)
    if adapter is not None and options.compile:
        unet = "unet" if hasattr(pipe, "unet") else "transformer"
        setattr(pipe, unet, torch.compile(getattr(pipe, unet)))
        row["compiled"] = pictures(pipe, adapter, options, device)
        print(size, "compiled", json.dumps(row["compiled"]), flush=True)
    return row


class Timed:
    """A denoiser that counts the seconds it spends on reading prompts and on predictions."""

    def __init__(self, denoiser: Any, device: torch.device) -> None:
        self.denoiser, self.place = denoiser, device
        self.seconds, self.prompts = {"reading": 0.0, "predicting": 0.0}, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.denoiser, name)

    def encode(self, prompts: Sequence[str]) -> Any:
        """As the denoiser's."""
        self.prompts += len(prompts)
        with self.counted("reading"):
            return self.denoiser.encode(prompts)

    def predict(self, *args: Any) -> Any:
        """As the denoiser's."""
        with self.counted("predicting"):
            return self.denoiser.predict(*args)

    @contextmanager
    def counted(self, name: str) -> Iterator[None]:
        """Add what the block takes."""
        ready(self.place)
        started = time.perf_counter()
        yield
        ready(self.place)
        self.seconds[name] += time.perf_counter() - started


def instant(pipe: Any, device: torch.device) -> dict[str, Any]:
    """An eraser by the closed form, gate included."""
    denoiser = Timed(denoiser_for(pipe), device)
    bank = load_bank(denoiser.family)
    with watched(device) as figures:
        adapter = erase(denoiser, CONCEPT, bank, "instant")  # type: ignore[arg-type]
    figures |= {name: round(seconds, 2) for name, seconds in denoiser.seconds.items()} | {"prompts": denoiser.prompts}
    with tempfile.TemporaryDirectory() as folder:
        figures["kB a file"] = round(adapter.save(Path(folder) / "eraser.safetensors").stat().st_size / 1000)
    return figures | {"adapter": adapter}


def fast(pipe: Any, device: torch.device, options: argparse.Namespace) -> dict[str, Any]:
    """A training by *fast* that is cut short: what it was estimated to take beside the model, and what it takes."""
    denoiser = denoiser_for(pipe)
    room = free(device, options.card)
    ordered = replace(for_family(MODES["fast"], denoiser.family), enough=1.0)
    cost = measure(denoiser, ordered)
    whole, expected = planned(ordered, lambda: cost, lambda needed: room)
    found: dict[str, Any] = {"free MiB": room and room // 2**20, "batch": whole.batch, "offload": whole.offload}
    found |= {"whole, estimated s": round(expected.seconds, 1)}
    short = replace(whole, trajectories=2, trajectory_steps=2, iterations=UPDATES)
    found["estimated MiB"] = round(estimate(cost, short).memory / 2**20)
    with watched(device) as figures:
        found |= trained(denoiser, short)
    return found | figures


def free(device: torch.device, card: float | None) -> int | None:
    """Bytes that a training may have, of the card at hand or of one of so many GiB; None on a CPU."""
    if device.type != "cuda":
        return None
    return int(card * 2**30) - torch.cuda.memory_reserved(device) if card else torch.cuda.mem_get_info(device)[0]


def trained(denoiser: Any, settings: Settings) -> dict[str, Any]:
    """Seconds of an update, once it goes."""
    moments: list[float] = []

    def report(progress: Any) -> None:
        if progress.stage != "recording":
            moments.append(time.perf_counter())

    erase(denoiser, CONCEPT, load_bank(denoiser.family), "fast", settings, report, stop=lambda: len(moments) >= UPDATES)
    between = [after - before for before, after in zip(moments[2:], moments[3:], strict=False)]
    return {"s an update": round(median(between), 3)} if between else {}


def pictures(pipe: Any, adapter: Adapter, options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Milliseconds of a step, plain and under erasers, in turn; medians, and ratios to the plain one before."""
    never = {"threshold": 1e9, "text_closed": 1e9, "text_open": 1e9}
    closed = Eraser(replace(adapter, gate=replace(adapter.gate, **never)))
    hundred = [
        Eraser(replace(closed.adapter, lora=Lora(dict(copy.deepcopy(adapter.lora).items())))) for _ in range(100)
    ]
    ways = {
        "plain": [], "1 closed": [closed], "100 closed": hundred,
        "open, s = 1": [Eraser(adapter, 1.0, "on")], "open, s = 1.5": [Eraser(adapter, 1.5, "on")],
    }  # fmt: skip
    took: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, Any] = {}
    for turn in range(1 + REPEATS):
        for name, erasers in ways.items():
            ready(device)
            begun = time.perf_counter()
            with erasing(pipe, erasers):
                ready(device)
                put_on = time.perf_counter() - begun
                with watched(device) as figures:
                    latents = draw(pipe, options)
            if turn == 0:  # warms up, and compiles where that is asked for
                found[f"{name}: first s"] = figures["seconds"]
                if name == "plain":
                    plain = latents
                elif "closed" in name:
                    found[f"{name}: identical"] = torch.equal(plain, latents)
            else:
                took[name].append(1000 * figures["exactly"] / options.steps)
                found |= {f"{name}: MiB": figures["MiB"]} if "MiB" in figures else {}
                found |= {f"{name}: put on, ms": round(1000 * put_on, 1)} if erasers else {}
    for name, each in took.items():
        found[f"{name}: ms a step"] = round(median(each), 2)
        found[f"{name}: times plain"] = round(
            median(own / base for own, base in zip(each, took["plain"], strict=True)), 4
        )
    return found


def draw(pipe: Any, options: argparse.Namespace) -> torch.Tensor:
    """The latents of one picture of the pipeline's usual size, with guidance where the family uses it."""
    return pipe(
        prompt=PROMPT,
        num_inference_steps=options.steps,
        guidance_scale=FAMILIES[denoiser_for(pipe).family].guidance_scale,
        generator=torch.Generator().manual_seed(0),
        output_type="latent",
        **{"height": SMALL, "width": SMALL} if options.tiny else {},
    ).images


@contextmanager
def watched(device: torch.device) -> Iterator[dict[str, float]]:
    """Seconds of a block, and on a GPU the peak of memory beside what was there before, in MiB."""
    figures: dict[str, float] = {}
    before = 0
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    ready(device)
    started = time.perf_counter()
    yield figures
    ready(device)
    figures["exactly"] = time.perf_counter() - started
    figures["seconds"] = round(figures["exactly"], 2)
    if device.type == "cuda":
        figures["MiB"] = round((torch.cuda.max_memory_allocated(device) - before) / 2**20)


def ready(device: torch.device) -> None:
    """Wait for what the device still computes."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def allocated(device: torch.device) -> int:
    """MiB on a GPU."""
    return round(torch.cuda.memory_allocated(device) / 2**20) if device.type == "cuda" else 0


if __name__ == "__main__":
    main()
