"""What the experiments share: the demo model, prompt sets, scores of a set of pictures."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lora_unlearn.concept import Concept
from lora_unlearn.demo.bank import demo_bank
from lora_unlearn.demo.checkpoint import load_demo, load_pipeline
from lora_unlearn.demo.judge import WEIGHTS, load_judge
from lora_unlearn.demo.words import COLOURS, STYLES, THINGS
from lora_unlearn.erase import without_concept
from lora_unlearn.evaluate.prompts import CLASSES, HELD_OUT
from lora_unlearn.hosts.generate import Sampling, generate

SAMPLING = Sampling(steps=30, guidance_scale=5.0, batch=32)


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


def other_prompts(name: str) -> list[str]:
    """Prompts without the concept, none of the bank's: all other objects, and synonyms of other classes."""
    words = [thing for thing in THINGS if thing != name]
    words += [word for other, synonyms in CLASSES.items() if other != name for word in synonyms]
    return [pattern.format(word) for word in words for pattern in HELD_OUT]


def banks(concept: Concept) -> tuple[list[str], list[str]]:
    """The bank's halves: what shapes the adapter, what calibrates the gate."""
    bank = without_concept(demo_bank(), concept)
    return bank[0::2], bank[1::2]


def seen(images: Sequence[Any], path: Path = WEIGHTS) -> list[str]:
    """What the judge sees on pictures."""
    from lora_unlearn.demo.judge import LABELS

    judge = load_judge(path)
    labels: list[str] = []
    for start in range(0, len(images), 64):
        stack = torch.stack([_tensor(image) for image in images[start : start + 64]])
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


def _tensor(image: Any) -> torch.Tensor:
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
