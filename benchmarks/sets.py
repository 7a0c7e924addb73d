"""What a large set takes: seconds to read the heads of its files, then the erasers, and the memory that these hold.

`python -m benchmarks.sets`: a few instant erasers of the demo model under many names, files that the system has just
written. Seconds are of computing (`time.process_time`), on one thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lora_unlearn import Concept, denoiser_for, erase, load_bank
from lora_unlearn.demo.checkpoint import load_demo
from lora_unlearn.opened import open_set
from lora_unlearn.sets import Heads, files_in

CONCEPTS = ("cat", "ship", "house")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    count = parser.parse_args().count
    torch.set_num_threads(1)
    denoiser = denoiser_for(load_demo())
    made = [erase(denoiser, Concept(name), load_bank("demo"), "instant") for name in CONCEPTS]
    with tempfile.TemporaryDirectory() as name:
        for number in range(count):
            adapter = made[number % len(made)]
            named = replace(adapter, concept=Concept(f"{adapter.concept.name} {number}"))
            named.save(Path(name, f"group {number % 4}", f"{number}.safetensors"))
        members, heads = timed(lambda: Heads().of(files_in(Path(name))))
        opened, reading = timed(lambda: open_set(members, "demo"))
        _, again = timed(lambda: open_set(members, "demo"))
    values = sum(each.numel() for eraser in opened.erasers for each in eraser.adapter.lora.parameters())
    print(f"{count} erasers: {heads:.2f} s for the heads, {reading:.2f} s to read them, {again:.3f} s once more")
    print(f"{4 * values / 1e6:.1f} MB of weights in memory, {sum(m.stamp[1] for m in members) / 1e6:.1f} MB of files")


def timed(action: Callable[[], Any]) -> tuple[Any, float]:
    """What an action gives, and its seconds of computing."""
    start = time.process_time()
    return action(), time.process_time() - start


if __name__ == "__main__":
    main()
