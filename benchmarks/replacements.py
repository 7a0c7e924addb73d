"""What takes a concept's place, by how much the network's force counts: `python -m benchmarks.replacements`.

For the things of the demo model and of the language relative that come out otherwise with another `UNLIKE`
(`lora_unlearn/replacement.py`), and the most evaluations that one of them took; with `--concepts` for these alone.
"""

from __future__ import annotations

from typing import Any

import torch

from benchmarks import common
from benchmarks.encoders import Remembered
from benchmarks.relative.model import load_language_relative
from benchmarks.relative.words import THINGS as KNOWN
from lora_unlearn import Concept, denoiser_for, load_bank, replacement
from lora_unlearn.bank import without_concept
from lora_unlearn.demo.words import THINGS
from lora_unlearn.erase import CountingDenoiser

TRIED = (0.0, 0.06, 0.1, 0.15, 0.4)


def main() -> None:
    """Print a row for each thing."""
    options = common.options(__doc__ or "")
    asked = [] if options.concepts == ["cat", "ship"] else options.concepts
    rows: list[dict[str, Any]] = []
    with torch.no_grad():
        for model, pipe, things in (
            ("demo", common.pipeline(None), THINGS),
            ("language relative", load_language_relative(), KNOWN),
        ):
            reader: Any = Remembered(denoiser_for(pipe))
            found = (row(model, reader, name) for name in asked or things)
            rows += [one for one in found if asked or len({one[str(unlike)] for unlike in TRIED}) > 1]
    print(common.markdown(rows))


def row(model: str, reader: Any, name: str) -> dict[str, Any]:
    """What is found for one thing."""
    concept, counted, most = Concept(name), CountingDenoiser(reader), 0
    bank = without_concept(load_bank(reader.family), concept)
    found: dict[str, Any] = {"model": model, "concept": name}
    for unlike in TRIED:
        replacement.UNLIKE, before = unlike, counted.evaluations
        found[str(unlike)] = replacement.neighbours(counted, concept, bank).instead
        most = max(most, counted.evaluations - before)
    return found | {"evaluations": most}


if __name__ == "__main__":
    main()
