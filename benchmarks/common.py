"""What the experiments share: the demo model, prompt sets, scores of a set of pictures."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lora_unlearn.bank import Parts, load_bank
from lora_unlearn.concept import Concept
from lora_unlearn.demo.checkpoint import load_demo, load_pipeline
from lora_unlearn.demo.judge import WEIGHTS, load_judge
from lora_unlearn.demo.words import COLOURS, STYLES, THINGS
from lora_unlearn.evaluate.prompts import CLASSES, HELD_OUT, HYPONYMS
from lora_unlearn.hosts.generate import Sampling, generate
from lora_unlearn.settings import Settings

SAMPLING = Sampling(steps=30, guidance_scale=5.0, batch=32)
QUICK = replace(SAMPLING, steps=12)
"""Where many erasers are compared: the base model draws all objects in so few steps, too."""
SHORT = Settings(objective="unguide", gamma=1.0, reference="empty", down="edit", iterations=30, learning_rate=4e-3)
FORMER = replace(SHORT, iterations=60, batch=16, learning_rate=2e-3, trajectory_steps=20)
"""The defaults of version 0.1, fast and thorough, with which the earlier tables of `docs/experiments.md` were made."""
CLOSED_FORM = replace(SHORT, iterations=0)
"""Its instant mode."""
Sets = dict[str, tuple[list[str], list[str]]]
"""Groups of prompts, each with what should be on the pictures."""


def options(description: str, **more: Any) -> argparse.Namespace:
    """The command line of an experiment."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--checkpoint", type=Path, help="another demo checkpoint than the one that ships")
    parser.add_argument("--concepts", nargs="+", default=["cat", "ship"])
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks"))
    for name, default in more.items():
        flag = f"--{name.replace('_', '-')}"
        if default is False:
            parser.add_argument(flag, action="store_true")
        else:
            parser.add_argument(flag, type=type(default), default=default)
    return parser.parse_args()


def pipeline(path: Path | None) -> Any:
    """The demo pipeline."""
    return load_pipeline(path) if path else load_demo()


def concept_prompts(name: str) -> dict[str, list[str]]:
    """Prompts that hold the concept, none of them used for training: target, synonyms, pairs."""
    others = [thing for thing in THINGS if thing != name]
    styled = [f"a {style} of a {name}" for style in STYLES]
    coloured = [f"the {name} on a {colour} background" for colour in COLOURS]
    return {
        "target": [pattern.format(name) for pattern in HELD_OUT] + styled + coloured,
        "synonyms": [pattern.format(word) for word in CLASSES[name] for pattern in HELD_OUT],
        "pairs": [f"a {name} and a {other}" for other in others] + [f"a {other} and a {name}" for other in others],
    }


def other_prompts(name: str, hyponyms: bool = True) -> list[str]:
    """Prompts without the concept, none of the bank's: all other objects, and synonyms of other classes."""
    kinds = () if hyponyms else HYPONYMS.get(name, ())
    words = [thing for thing in THINGS if thing != name and thing not in kinds]
    words += [word for other, synonyms in CLASSES.items() if other != name for word in synonyms]
    return [pattern.format(word) for word in words for pattern in HELD_OUT]


def banks(concept: Concept) -> tuple[list[str], list[str]]:
    """What shapes the adapter, and what calibrates the gate."""
    parts = Parts.of(load_bank("demo")).without(concept)
    return parts.shape, parts.calibrate


def seen(images: Sequence[Any], path: Path = WEIGHTS) -> list[str]:
    """What the judge sees on pictures."""
    from lora_unlearn.demo.judge import LABELS

    judge = load_judge(path)
    labels: list[str] = []
    for start in range(0, len(images), 64):
        stack = torch.stack([pixels(image) for image in images[start : start + 64]])
        with torch.no_grad():
            labels += [LABELS[i] for i in judge(stack)["thing"].argmax(1).tolist()]
    return labels


def share(
    pipe: Any, prompts: Sequence[str], wanted: Sequence[str], erasers: Sequence[Any] = (), **sampling: Any
) -> float:
    """The share of pictures (one a prompt) on which the judge sees the wanted object."""
    pictures = generate(pipe, prompts, list(range(len(prompts))), SAMPLING, erasers)
    found = seen([picture.image for picture in pictures])
    return sum(a == b for a, b in zip(found, wanted, strict=True)) / len(found)


def write(folder: Path, name: str, table: Any) -> None:
    """Keep a table as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(table, indent=1), encoding="utf-8")


def pixels(image: Any) -> torch.Tensor:
    """A PIL picture as (3,H,W) in 0..1."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def instead(pipe: Any, prompts: Sequence[str], erasers: Sequence[Any]) -> dict[str, Any]:
    """What is on the pictures of an erased concept: labels, most frequent first, and mean saturation (0 to 255)."""
    from collections import Counter

    images = [picture.image for picture in generate(pipe, prompts, list(range(len(prompts))), SAMPLING, erasers)]
    saturation = sum(
        torch.tensor(list(image.convert("HSV").getchannel("S").tobytes())).float().mean() for image in images
    )
    return {
        "labels": dict(Counter(seen(images)).most_common(4)),
        "saturation": round(float(saturation) / len(images), 1),
    }


def prompt_sets(name: str, targets: int = 18, synonyms: int = 8, others: int = 2) -> Sets:
    """Held-out sentences: `targets` with the concept, `synonyms` with each synonym, `others` with each other object."""
    asked = [pattern.format(name) for pattern in HELD_OUT[:targets]]
    alike = [pattern.format(word) for word in CLASSES[name] for pattern in HELD_OUT[:synonyms]]
    rest = [thing for thing in THINGS if thing != name for _ in range(others)]
    return {
        "target": (asked, [name] * len(asked)),
        "synonyms": (alike, [name] * len(alike)),
        "others": ([HELD_OUT[i % others].format(thing) for i, thing in enumerate(rest)], rest),
    }


def judged(pipe: Any, sets: Sets, erasers: Sequence[Any] = (), sampling: Sampling = QUICK) -> dict[str, Any]:
    """The share of each set judged as wanted, and what is on the first set's pictures instead.

    One picture a prompt, seeded by its place; "saturation" (0 to 255) is the first set's mean.
    """
    figures: dict[str, Any] = {}
    for group, (prompts, wanted) in sets.items():
        images = [picture.image for picture in generate(pipe, prompts, range(len(prompts)), sampling, erasers)]
        found = seen(images)
        figures[group] = round(sum(a == b for a, b in zip(found, wanted, strict=True)) / len(found), 3)
        if len(figures) == 1:
            others = Counter(a for a, b in zip(found, wanted, strict=True) if a != b)
            extra = {"instead": _listed(others), "saturation": round(_saturation(images))}
    return figures | extra


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{label} {count}" for label, count in counts.most_common(4))


def _saturation(images: Sequence[Any]) -> float:
    return float(np.mean([np.array(image.convert("HSV"))[..., 1].mean() for image in images]))


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows with the same keys as a Markdown table."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def finish(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a table as Markdown and keep it as JSON."""
    print(markdown(rows))
    write(folder, name, list(rows))
