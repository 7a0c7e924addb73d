"""Does a second look by the network pay? `python -m benchmarks.second_look --captions FILE`.

On the language relative: three gates under one bound of 1 %, by the text, by the text and a second look that share it
("careful"), and by the look alone ("always"). They are asked for captions of COCO, for short sentences with the names
that the model draws and nobody gave, and for ordinary prompts that served for nothing else.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import common
from benchmarks.encoders import Remembered
from benchmarks.language import CHOSEN, HELD_OUT, grouped
from benchmarks.language_erasure import DRAWN
from benchmarks.relative.model import FOLDER, load_language_relative
from lora_unlearn import Adapter, Concept, Settings, denoiser_for, load_bank
from lora_unlearn.bank import Parts
from lora_unlearn.bounds import FALSE_OPEN_RATE
from lora_unlearn.calibrate import text_scores
from lora_unlearn.look import LOOK_MODES, Asked, LookMode, look_scores, share_of_text, with_look
from lora_unlearn.lora import Lora
from lora_unlearn.text_gate import text_gate

CONCEPTS = ("cat", "dog", "horse", "bicycle", "bird", "cow")
"""Objects of the language relative with captions in COCO."""
MOST = {"own word": 200, "other words": 200, "without": 1000, "ordinary": 400}
"""Prompts that are asked of each group."""


def main() -> None:
    """A row for each concept and mode, and the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=Path, required=True, help="one caption a line")
    parser.add_argument("--concepts", nargs="*", default=CONCEPTS)
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks"))
    options = parser.parse_args()
    captions = options.captions.read_text(encoding="utf-8").splitlines()
    denoiser, rows = Remembered(denoiser_for(load_language_relative())), []
    for name in options.concepts:
        for row in of_concept(denoiser, name, captions):
            print(row, flush=True)
            rows.append(row)
    means = []
    for mode in LOOK_MODES:
        own = [row for row in rows if row["mode"] == mode]
        shares = {k: round(sum(row[k] for row in own) / len(own), 4) for k in own[0] if k not in ("concept", "mode")}
        means.append({"concept": "**mean**", "mode": mode, **shares})
    common.finish(options.out, "second_look", [*rows, *means])


@torch.no_grad()
def of_concept(denoiser: Any, name: str, captions: Sequence[str]) -> list[dict[str, Any]]:
    """Open rates of the three gates."""
    concept = Concept(name)
    parts = Parts.of(load_bank("language")).without(concept)
    known = json.loads((FOLDER / "language.json").read_text(encoding="utf-8"))["things"][name]["names"]
    names = [word for word, share in known.items() if share >= DRAWN]
    groups = {
        **grouped(name, captions, {**CHOSEN, **HELD_OUT}[name]),
        "names": [pattern.format(word) for word in names for pattern in ("a photo of a {}", "we saw a {} in the park")],
        "ordinary": parts.judge,
    }
    del groups["swapped"]
    groups = {group: prompts[: MOST.get(group)] for group, prompts in groups.items()}
    found: list[dict[str, Any]] = []
    for mode in LOOK_MODES:
        adapter = gated(denoiser, concept, parts, mode)
        row: dict[str, Any] = {"concept": name, "mode": mode}
        for group, prompts in groups.items():
            opened = torch.zeros(len(prompts), dtype=torch.bool)
            if mode != "always":
                opened |= text_scores(denoiser, adapter.gate, prompts) >= adapter.gate.threshold
            if adapter.gate.look is not None:
                (scores,) = look_scores(denoiser, adapter, [prompts], lambda done, total: None)
                opened |= scores >= adapter.gate.look
            row[group] = round(float(opened.float().mean()), 4)
        found.append(row)
    return found


def gated(denoiser: Any, concept: Concept, parts: Parts, mode: LookMode) -> Adapter:
    """An adapter without layers whose gate decides in one of the modes."""
    share = share_of_text(mode, FALSE_OPEN_RATE)
    gate = text_gate(denoiser, concept, parts, false_open_rate=share)
    adapter = Adapter(Lora({}), concept, Settings(), gate, denoiser.family, "")
    return replace(adapter, gate=with_look(denoiser, adapter, Asked(parts.calibrate), share, mode))


if __name__ == "__main__":
    main()
